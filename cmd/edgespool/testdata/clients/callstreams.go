package main

import (
	"context"

	"clients/streams"
)

func callStreams(ctx context.Context, address string, bearer streams.RequestEditorFn) {
	const owner, source, dataset, name = "plant", "tickets", "line", "alerts"
	c, err := streams.NewClientWithResponses(address, streams.WithRequestEditorFn(bearer))
	must("streams client", err, true, nil)
	title := "Line 4"
	def := streams.Definition{Name: new(string), Title: &title}
	*def.Name = name
	put, err := c.PutStreamWithResponse(ctx, owner, dataset, streams.PutStreamJSONRequestBody{Stream: &def})
	must("put stream", err, put != nil && put.JSON200 != nil && put.JSON200.Stream.Title == title && len(put.JSON200.Stream.Id) == 16, put.Body)
	var loud streams.PropertyValue
	must("property", loud.FromPropertyValue1(0.75), true, nil)
	comments := []streams.NewComment{{Id: "t-1", Timestamp: "2026-01-01T00:00:00Z", Messages: []streams.Message{}}, {Id: "t-2", Timestamp: "2026-01-01",
		Messages: []streams.Message{}, UserProperties: &streams.NewProperties{"number:loud": loud}}}
	comments[0].Messages = append(comments[0].Messages, streams.Message{})
	comments[0].Messages[0].Body.Text = "It hums"
	sync, err := c.SyncCommentsWithResponse(ctx, owner, source, streams.SyncCommentsJSONRequestBody{Comments: comments})
	must("sync", err, sync != nil && sync.JSON200 != nil && sync.JSON200.New == 2 && sync.JSON200.Updated == 0, sync.Body)
	sync, err = c.SyncCommentsWithResponse(ctx, owner, source, streams.SyncCommentsJSONRequestBody{Comments: comments})
	must("sync again", err, sync != nil && sync.JSON200 != nil && sync.JSON200.Unchanged == 2, sync.Body)
	comment, err := c.GetCommentWithResponse(ctx, owner, source, "t-1")
	must("get comment", err, comment != nil && comment.JSON200 != nil && comment.JSON200.Comment.Messages[0].Body.Text == "It hums", comment.Body)
	batch, err := c.FetchStreamWithResponse(ctx, owner, dataset, name, streams.FetchStreamJSONRequestBody{Size: 1})
	must("fetch", err, batch != nil && batch.JSON200 != nil && len(batch.JSON200.Results) == 1 && batch.JSON200.Results[0].Comment.Id == "t-1" && !batch.JSON200.IsEndSequence, batch.Body)
	moved, err := c.AdvanceStreamWithResponse(ctx, owner, dataset, name, streams.AdvanceStreamJSONRequestBody{SequenceId: batch.JSON200.SequenceId})
	must("advance", err, moved != nil && moved.JSON200 != nil && moved.JSON200.SequenceId == batch.JSON200.SequenceId, moved.Body)
	most := 10
	results, err := c.GetStreamResultsWithResponse(ctx, owner, dataset, name, &streams.GetStreamResultsParams{MaxResults: &most})
	must("results", err, results != nil && results.JSON200 != nil && len(results.JSON200.Results) == 1 && !results.JSON200.MoreResults, results.Body)
	value, err := results.JSON200.Results[0].Comment.UserProperties["number:loud"].AsPropertyValue1()
	must("property of a result", err, value == 0.75, results.Body)
	bad := streams.Exception{Uid: results.JSON200.Results[0].Comment.Uid}
	bad.Metadata.Type = "not a ticket"
	tagged, err := c.PutStreamExceptionsWithResponse(ctx, owner, dataset, name, streams.PutStreamExceptionsJSONRequestBody{Exceptions: []streams.Exception{bad}})
	must("put exceptions", err, tagged != nil && tagged.JSON200 != nil, tagged.Body)
	tags, err := c.ListStreamExceptionsWithResponse(ctx, owner, dataset, name)
	must("list exceptions", err, tags != nil && tags.JSON200 != nil && len(tags.JSON200.Exceptions) == 1 && tags.JSON200.Exceptions[0].Uid == bad.Uid, tags.Body)
	off, err := c.DeleteStreamExceptionsWithResponse(ctx, owner, dataset, name, &streams.DeleteStreamExceptionsParams{Uid: []streams.Uid{bad.Uid}})
	must("delete exceptions", err, off != nil && off.JSON200 != nil, off.Body)
	reset, err := c.ResetStreamWithResponse(ctx, owner, dataset, name, streams.ResetStreamJSONRequestBody{ToCommentCreatedAt: "2020-06-03T16:05:00Z"})
	must("reset", err, reset != nil && reset.JSON200 != nil && reset.JSON200.SequenceId == "4LvtenIBAAA=", reset.Body)
	reset, err = c.ResetStreamWithResponse(ctx, owner, dataset, name, streams.ResetStreamJSONRequestBody{ToCommentCreatedAt: "1970-01-01"})
	must("reset to the beginning", err, reset != nil && reset.JSON200 != nil && reset.JSON200.Stream.UnderscoreBacklog == 2, reset.Body)
	former, err := c.GetTriggerWithResponse(ctx, owner, dataset, name)
	must("get trigger", err, former != nil && former.JSON200 != nil && former.JSON200.Trigger.Name == name, former.Body)
	sources, err := c.ListSourcesWithResponse(ctx)
	must("list sources", err, sources != nil && sources.JSON200 != nil && len(sources.JSON200.Sources) > 0, sources.Body)
	datasets, err := c.ListDatasetsWithResponse(ctx)
	must("list datasets", err, datasets != nil && datasets.JSON200 != nil && len(datasets.JSON200.Datasets) > 0, datasets.Body)
	wrong, err := c.FetchStreamWithResponse(ctx, owner, dataset, name, streams.FetchStreamJSONRequestBody{})
	must("fetch nothing", err, wrong != nil && wrong.JSON400 != nil && wrong.JSON400.Message != "", wrong.Body)
	gone, err := c.DeleteStreamWithResponse(ctx, owner, dataset, name)
	must("delete stream", err, gone != nil && gone.JSON200 != nil, gone.Body)
	none, err := c.GetStreamWithResponse(ctx, owner, dataset, name)
	must("get no stream", err, none != nil && none.JSON404 != nil && none.JSON404.Status == "error", none.Body)
}
