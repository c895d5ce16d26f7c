package support_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// amends updates an incident.
func (w *world) amends(id string, u *goodshipv1.IncidentUpdate, paths ...string) *goodshipv1.Incident {
	w.t.Helper()
	return do[*goodshipv1.Incident](w, lea, &goodshipv1.UpdateIncidentRequest{IncidentId: id, Incident: u, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
}

func TestDeclareIncident(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	for want, change := range map[string]func(*goodshipv1.Incident){
		"incident.to_time":        func(i *goodshipv1.Incident) { i.ToTime = timestamppb.New(i.FromTime.AsTime().Add(-time.Second)) },
		"incident.settle_by_time": func(i *goodshipv1.Incident) { i.SettleByTime = timestamppb.New(w.clock.Now()) },
		"incident.credit.money":   func(i *goodshipv1.Incident) { i.Credit = euros(0, 0) },
		"incident.text":           func(i *goodshipv1.Incident) { i.Text = "}" },
	} {
		i := w.outage(plain, euros(5, 0))
		change(i)
		w.refuses(lea, &goodshipv1.DeclareIncidentRequest{Incident: i}, "InvalidArgument INVALID_REQUEST "+want)
	}
	far := w.outage(plain, euros(5, 0))
	far.SettleByTime = timestamppb.New(w.clock.Now().Add(400*24*time.Hour + time.Hour))
	w.refuses(lea, &goodshipv1.DeclareIncidentRequest{Incident: far}, "InvalidArgument INVALID_REQUEST incident.settle_by_time")
	dollars := w.outage(plain, euros(5, 0))
	dollars.Credit.GetMoney().CurrencyCode = "USD"
	w.refuses(lea, &goodshipv1.DeclareIncidentRequest{Incident: dollars}, "FailedPrecondition CURRENCY_MISMATCH currency_code=EUR")

	declare := &goodshipv1.DeclareIncidentRequest{Incident: w.outage("", euros(5, 0)), RequestId: "once"}
	declare.Incident.State, declare.Incident.Id = goodshipv1.IncidentState_INCIDENT_STATE_SENT, "mine"
	first := do[*goodshipv1.Incident](w, lea, declare)
	equal(t, "state", first.State, goodshipv1.IncidentState_INCIDENT_STATE_DECLARED)
	same(t, "repeated", do[*goodshipv1.Incident](w, lea, declare), first)
	missing := "inc_" + strings.Repeat("0", 26)
	for _, req := range []proto.Message{
		&goodshipv1.GetIncidentRequest{IncidentId: missing}, &goodshipv1.PreviewApologyRequest{IncidentId: missing},
		&goodshipv1.PauseApologyRequest{IncidentId: missing}, &goodshipv1.ListApologiesRequest{IncidentId: missing}, adding(missing, affected(kim)),
	} {
		w.refuses(lea, req, "NotFound INCIDENT_NOT_FOUND")
	}
}

func TestUpdateIncident(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares("")
	before := do[*goodshipv1.Incident](w, lea, &goodshipv1.GetIncidentRequest{IncidentId: id})
	after := w.amends(id, &goodshipv1.IncidentUpdate{Text: plain, WhatWeDid: "Fixed"}, "text")
	equal(t, "only what the mask names", after.Text+after.WhatWeDid, plain)
	if after.Etag == before.Etag {
		t.Error("the etag stayed")
	}
	equal(t, "nothing new", w.amends(id, &goodshipv1.IncidentUpdate{Text: plain}, "text").Etag, after.Etag)
	update := func(u *goodshipv1.IncidentUpdate, etag string, paths ...string) *goodshipv1.UpdateIncidentRequest {
		return &goodshipv1.UpdateIncidentRequest{IncidentId: id, Incident: u, Etag: etag, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}}
	}
	w.refuses(lea, update(&goodshipv1.IncidentUpdate{Text: "x"}, before.Etag, "text"), "Aborted ETAG_MISMATCH")
	w.refuses(lea, update(&goodshipv1.IncidentUpdate{}, ""), "InvalidArgument INVALID_REQUEST update_mask")
	w.refuses(lea, update(&goodshipv1.IncidentUpdate{}, "", "what_happened"), "InvalidArgument INVALID_REQUEST incident.what_happened")
	w.refuses(lea, update(&goodshipv1.IncidentUpdate{}, "", "credit"), "InvalidArgument INVALID_REQUEST incident.credit")
	w.refuses(lea, update(&goodshipv1.IncidentUpdate{}, "", "from_time"), "InvalidArgument INVALID_REQUEST incident.from_time")
	w.adds(id, affected(kim))
	w.sendsOff(id)
	w.refuses(lea, update(&goodshipv1.IncidentUpdate{}, "", "from_time"), "InvalidArgument INVALID_REQUEST incident.from_time")
	early := timestamppb.New(before.FromTime.AsTime().Add(-time.Second))
	w.refuses(lea, update(&goodshipv1.IncidentUpdate{ToTime: early}, "", "to_time"), "InvalidArgument INVALID_REQUEST incident.to_time")
	after = do[*goodshipv1.Incident](w, lea, &goodshipv1.GetIncidentRequest{IncidentId: id})
	same(t, "etag that fits", do[*goodshipv1.Incident](w, lea, update(&goodshipv1.IncidentUpdate{ToTime: before.FromTime}, after.Etag, "to_time")).ToTime, before.FromTime)
}

func TestListIncidents(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	var declared []string
	for range 3 {
		declared = append(declared, w.declares(plain))
	}
	slices.Reverse(declared)
	var listed []string
	for token, more := "", true; more; more = token != "" {
		page := do[*goodshipv1.ListIncidentsResponse](w, ada, &goodshipv1.ListIncidentsRequest{PageSize: 2, PageToken: token})
		for _, i := range page.Incidents {
			listed = append(listed, i.Id)
		}
		token = page.NextPageToken
	}
	equal(t, "newest first", strings.Join(listed, " "), strings.Join(declared, " "))
	w.refuses(ada, &goodshipv1.ListIncidentsRequest{PageToken: "no"}, "InvalidArgument INVALID_PAGE_TOKEN")
}
