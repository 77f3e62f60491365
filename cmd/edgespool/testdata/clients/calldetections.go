package main

import (
	"bytes"
	"context"
	"mime/multipart"
	"strconv"
	"strings"

	"clients/detection"
)

// callDetections looks at what callData has had judged: two objects are too hot.
func callDetections(ctx context.Context, address string, bearer detection.RequestEditorFn) {
	c, err := detection.NewClientWithResponses(address, detection.WithRequestEditorFn(bearer))
	must("detection client", err, true, nil)
	list := func(what string, p detection.ListDetectionsParams, want, total int) *detection.ListDetectionsResponse {
		got, err := c.ListDetectionsWithResponse(ctx, &p)
		must(what, err, got != nil && got.JSON200 != nil && got.JSON200.Count == want && len(got.JSON200.Data) == want && got.JSON200.TotalCount == int64(total), got.Body)
		return got
	}
	all := list("list", detection.ListDetectionsParams{}, 2, 2)
	one, zero, most, least := 1, 0, 50.0, 50.0
	page := list("a page", detection.ListDetectionsParams{Limit: &one, Offset: &zero}, 1, 2)
	must("Link", nil, strings.Contains(page.HTTPResponse.Header.Get("Link"), "throughId="), nil)
	list("the likely ones", detection.ListDetectionsParams{MinLikelihood: &least}, 2, 2)
	list("the others", detection.ListDetectionsParams{MaxLikelihood: &most}, 0, 0)
	tags := []string{"source=nobody", "device=none"}
	list("by tags", detection.ListDetectionsParams{TagFilter: &tags}, 0, 0)
	by, up := detection.ListDetectionsParamsSortBy("likelihood"), "asc"
	risen := list("by likelihood", detection.ListDetectionsParams{SortBy: &by, Direction: &up}, 2, 2).JSON200.Data
	must("order", nil, risen[0].Likelihood <= risen[1].Likelihood && risen[1].FraudSeverity == "high", all.Body)
	first := all.JSON200.Data[0]
	record, err := c.GetDetectionWithResponse(ctx, first.DetectionId)
	must("get", err, record != nil && record.JSON200 != nil && record.JSON200.Result.DetectionId == first.DetectionId && len(record.JSON200.Result.Files) == 1, record.Body)
	file := record.JSON200.Result.Files[0]
	name := "fd_" + strconv.FormatInt(first.DetectionId, 10) + "_" + first.FileName
	whole, err := c.GetFileWithResponse(ctx, name, &detection.GetFileParams{})
	must("file", err, whole != nil && whole.StatusCode() == 200 && int64(len(whole.Body)) == file.FileSize, whole.Body)
	part := "bytes=0-3"
	some, err := c.GetFileWithResponse(ctx, name, &detection.GetFileParams{Range: &part})
	must("part of a file", err, some != nil && some.StatusCode() == 206 && string(some.Body) == string(whole.Body[:4]), some.Body)
	part = "bytes=999999-"
	some, err = c.GetFileWithResponse(ctx, name, &detection.GetFileParams{Range: &part})
	must("no part of a file", err, some != nil && some.JSON416 != nil && some.JSON416.StatusCode == 416, some.Body)
	models, err := c.ListModelsWithResponse(ctx)
	must("models", err, models != nil && models.JSON200 != nil && models.JSON200.Count == len(models.JSON200.Data), models.Body)
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	must("form", w.WriteField("model", "none"), true, nil)
	must("form", w.Close(), true, nil)
	scored, err := c.ScoreFileWithBodyWithResponse(ctx, w.FormDataContentType(), &form)
	must("score by no model", err, scored != nil && scored.JSON404 != nil && scored.JSON404.Message != "", scored.Body)
	none, err := c.GetDetectionWithResponse(ctx, 1<<40)
	must("no detection", err, none != nil && none.JSON404 != nil && none.JSON404.Error == "Not Found", none.Body)
	over := 101
	wrong, err := c.ListDetectionsWithResponse(ctx, &detection.ListDetectionsParams{Limit: &over})
	must("too long a page", err, wrong != nil && wrong.JSON400 != nil, wrong.Body)
}
