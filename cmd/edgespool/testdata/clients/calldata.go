package main

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"clients/data"
)

// namespace is where the objects go; its detections are looked for later on.
const namespace = "pumps"

func callData(ctx context.Context, address string, bearer data.RequestEditorFn) {
	c, err := data.NewClientWithResponses(address, data.WithRequestEditorFn(bearer))
	must("data client", err, true, nil)
	bound, label := 9.5, "hot"
	rules := &data.Settings{Rules: &[]data.Rule{{Field: "celsius", Above: &bound, Label: &label}}}
	set, err := c.PutSettingsWithResponse(ctx, namespace, data.PutSettingsJSONRequestBody{Settings: rules})
	must("put settings", err, set != nil && set.JSON200 != nil && set.JSON200.Version == 1, set.Body)
	old := 0
	set, err = c.PutSettingsWithResponse(ctx, namespace, data.PutSettingsJSONRequestBody{Settings: rules, PreviousVersion: &old})
	must("put settings over others", err, set != nil && set.JSON409 != nil && set.JSON409.Error == set.JSON409.Message, set.Body)
	got, err := c.GetSettingsWithResponse(ctx, namespace)
	must("get settings", err, got != nil && got.JSON200 != nil && *(*got.JSON200.Settings.Rules)[0].Above == bound, got.Body)

	var body data.AddObjectsJSONRequestBody
	must("objects", body.Data.FromAddObjectsJSONBodyData1([]data.Object{
		{Id: "a", AdditionalProperties: map[string]any{"celsius": 12}}, {Id: "b", Metadata: map[string]any{"line": 4}},
	}), true, nil)
	added, err := c.AddObjectsWithResponse(ctx, namespace, body)
	must("add", err, added != nil && added.JSON200 != nil && added.JSON200.Status == "accepted", added.Body)
	text := ended(ctx, c, added.JSON200.RequestId)
	inline, err := text.JSON200.AsInlineStatus()
	must("results of an add", err, len(inline.Data) == 2 && inline.Data[0].Output.Labels[0].Label == label && inline.Data[1].Metadata != nil, text.Body)
	link, err := c.CreateDownloadUrlWithResponse(ctx, namespace, added.JSON200.RequestId)
	must("download-url", err, link != nil && link.JSON200 != nil && *link.JSON200.DataCount == 2, link.Body)

	former, err := c.BeginImportWithResponse(ctx, namespace, data.BeginImportJSONRequestBody{})
	must("import", err, former != nil && former.JSON200 != nil && former.JSON200.Status == "pending_upload", former.Body)
	upload, err := c.CreateUploadUrlWithResponse(ctx, namespace, data.CreateUploadUrlJSONRequestBody{})
	must("upload-url", err, upload != nil && upload.JSON200 != nil && upload.JSON200.ExpiresAt.After(time.Now()), upload.Body)
	id := upload.JSON200.RequestId
	expires, signature := signed(upload.JSON200.UploadUrl)
	sent, err := c.UploadObjectsWithBodyWithResponse(ctx, namespace, id, &data.UploadObjectsParams{Expires: expires, Signature: signature},
		"application/json", strings.NewReader("{\"id\":\"c\"}\n{\"id\":\"d\",\"celsius\":20}\n"))
	must("upload", err, sent != nil && sent.StatusCode() == 200 && len(sent.Body) == 0, sent.Body)
	text = ended(ctx, c, id)
	far, err := text.JSON200.AsAddressStatus()
	must("results of an upload", err, far.DataUrl != nil && *far.DataCount == 2, text.Body)
	expires, signature = signed(*far.DataUrl)
	file, err := c.DownloadResultsWithResponse(ctx, namespace, id, &data.DownloadResultsParams{Expires: expires, Signature: signature})
	must("download", err, file != nil && file.StatusCode() == 200 && strings.Count(string(file.Body), "\n") == 2, file.Body)
	file, err = c.DownloadResultsWithResponse(ctx, namespace, id, &data.DownloadResultsParams{Expires: expires + 1, Signature: signature})
	must("download by a forged address", err, file != nil && file.JSON403 != nil && file.JSON403.Error != "", file.Body)
	none, err := c.GetRequestWithResponse(ctx, namespace, "req_00000000000000000000000000")
	must("no request", err, none != nil && none.JSON404 != nil, none.Body)
	body.Data = data.AddObjectsJSONBody_Data{}
	must("no objects", body.Data.FromAddObjectsJSONBodyData1([]data.Object{}), true, nil)
	added, err = c.AddObjectsWithResponse(ctx, namespace, body)
	must("add nothing", err, added != nil && added.JSON400 != nil, added.Body)
}

// ended asks for a request until it has come to its end.
func ended(ctx context.Context, c *data.ClientWithResponses, id string) *data.GetRequestResponse {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(time.Minute); ; <-tick.C {
		got, err := c.GetRequestWithResponse(ctx, namespace, id)
		must("request", err, got != nil && got.JSON200 != nil && time.Now().Before(until), got.Body)
		state, err := got.JSON200.AsInlineStatus() // both forms have a status
		must("request", err, state.Status != "failed", got.Body)
		if state.Status == "succeeded" {
			return got
		}
	}
}

// signed takes a signed address apart.
func signed(address string) (expires int64, signature string) {
	u, err := url.Parse(address)
	must("signed address", err, true, []byte(address))
	expires, err = strconv.ParseInt(u.Query().Get("expires"), 10, 64)
	must("signed address", err, u.Query().Get("signature") != "", []byte(address))
	return expires, u.Query().Get("signature")
}
