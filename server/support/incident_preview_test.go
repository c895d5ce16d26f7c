package support_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A text is refused for whom it cannot be written, with the first of them.
func TestTheFirstWithoutAValueAreNamed(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	w.named(kim, "Kim")
	id := w.declares("{name} {device} " + plain)
	for i := range 12 {
		w.adds(id, affected(person(fmt.Sprintf("customer/%02d", i))))
	}
	w.adds(id, affected(kim, "device", "television"))
	_, err := w.call(w.by(lea), &goodshipv1.PreviewApologyRequest{IncidentId: id})
	told := violations(err)
	equal(t, "violations", len(told), 2)
	for _, v := range told {
		if !strings.Contains(v, "12 of 13") || strings.Count(v, ", ") < 10 || strings.Contains(v, "kim") {
			t.Errorf("got %s, want twelve, ten of them by name", v)
		}
	}
}

// violations returns what is wrong with each field of a refused request.
func violations(err error) []string {
	var all []string
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.FieldViolations {
				all = append(all, v.Description)
			}
		}
	}
	return all
}

// A workspace that nobody can reach, and a text that says nothing, are refused.
func TestTextsThatMayNotBeSent(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares("Sorry for 6 EUR. {unknown}")
	w.refuses(lea, &goodshipv1.PreviewApologyRequest{IncidentId: id}, "FailedPrecondition NOBODY_AFFECTED")
	w.adds(id, affected(kim))
	w.refuses(lea, &goodshipv1.PreviewApologyRequest{IncidentId: id}, "InvalidArgument INVALID_REQUEST"+strings.Repeat(" incident.text", 5))
	w.updates(&goodshipv1.Workspace{}, "contact_points")
	w.refuses(lea, &goodshipv1.PreviewApologyRequest{IncidentId: id}, "InvalidArgument INVALID_REQUEST workspace.contact_points"+strings.Repeat(" incident.text", 4))
	w.refuses(lea, &goodshipv1.DeclareIncidentRequest{Incident: w.outage("{", euros(5, 0))}, "InvalidArgument INVALID_REQUEST incident.text")
	silent := w.declares(plain)
	w.adds(silent, affected(kim))
	w.amends(silent, &goodshipv1.IncidentUpdate{NothingToDo: " "}, "nothing_to_do")
	w.refuses(lea, &goodshipv1.PreviewApologyRequest{IncidentId: silent}, "InvalidArgument INVALID_REQUEST workspace.contact_points incident.nothing_to_do")
}

// A preview is bound to what it showed: whatever changes of that, the token does not send it.
func TestAPreviewThatChanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world, string){
		"who is affected": func(w *world, id string) { w.adds(id, affected(lou)) },
		"an attribute":    func(w *world, id string) { w.adds(id, affected(kim, "device", "another")) },
		"the text":        func(w *world, id string) { w.amends(id, &goodshipv1.IncidentUpdate{Text: plain + "."}, "text") },
		"the credit":      func(w *world, id string) { w.amends(id, &goodshipv1.IncidentUpdate{Credit: points(500)}, "credit") },
		"the sentence": func(w *world, id string) {
			w.amends(id, &goodshipv1.IncidentUpdate{NothingToDo: "Nothing."}, "nothing_to_do")
		},
		"the contacts": func(w *world, _ string) {
			w.updates(&goodshipv1.Workspace{ContactPoints: []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "+34 900 000 000"}}}, "contact_points")
		},
		"the time zone": func(w *world, _ string) { w.updates(&goodshipv1.Workspace{TimeZone: "Asia/Tokyo"}, "time_zone") },
		"there and back": func(w *world, id string) {
			w.adds(id, affected(kim, "device", "another"))
			w.adds(id, affected(kim, "device", "television"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := owesApologies(t)
			incident := w.outage("{device} {settle_by} "+plain, euros(5, 0))
			incident.SettleByTime = timestamppb.New(time.Date(2026, 3, 20, 22, 30, 0, 0, time.UTC)) // in Madrid the same day, in Tokyo the next
			id := do[*goodshipv1.Incident](w, lea, &goodshipv1.DeclareIncidentRequest{Incident: incident}).Id
			w.adds(id, affected(kim, "device", "television"))
			token := w.previews(id).PreviewToken
			change(w, id)
			w.refuses(lea, &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: token}, "Aborted PREVIEW_CHANGED")
		})
	}
}

// What is for those who help, and no one affected gets, leaves a preview as it was; a day that passed does not.
func TestAPreviewThatHolds(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares(plain)
	w.adds(id, affected(kim))
	token := w.previews(id).PreviewToken
	w.amends(id, &goodshipv1.IncidentUpdate{WhatWeDid: "Fixed"}, "what_we_did")
	w.clock.Jump(31 * 24 * time.Hour)
	w.refuses(lea, &goodshipv1.PreviewApologyRequest{IncidentId: id}, "InvalidArgument INVALID_REQUEST incident.settle_by_time")
	w.refuses(lea, &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: token}, "InvalidArgument INVALID_REQUEST incident.settle_by_time")
	other := w.declares(plain)
	w.adds(other, affected(kim))
	token = w.previews(other).PreviewToken
	w.amends(other, &goodshipv1.IncidentUpdate{WhatWeDid: "Fixed"}, "what_we_did")
	do[*goodshipv1.Incident](w, lea, &goodshipv1.SendApologyRequest{IncidentId: other, PreviewToken: token})
}

// A contact point that stands in the text itself is looked at once more when it is sent off.
func TestAContactPointThatIsNoMore(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id := w.declares("Sorry. {credit}. {nothing_to_do} Call +34 912 345 678.")
	w.adds(id, affected(kim))
	token := w.previews(id).PreviewToken
	w.updates(&goodshipv1.Workspace{ContactPoints: []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "+34 900 000 000"}}}, "contact_points")
	w.refuses(lea, &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: token}, "InvalidArgument INVALID_REQUEST incident.text")
	equal(t, "outcome", w.progress(id), "DECLARED 1: 1 0 0 0 0 0")
}

func TestSendApology(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	id, other := w.declares(plain), w.declares(plain)
	w.adds(id, affected(kim))
	w.adds(other, affected(kim))
	token := w.previews(id).PreviewToken
	send := &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: token, RequestId: "once"}
	w.refuses(lea, &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: "no token"}, "InvalidArgument INVALID_REQUEST preview_token")
	w.refuses(lea, &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: w.previews(other).PreviewToken}, "Aborted PREVIEW_CHANGED")
	w.updates(&goodshipv1.Workspace{IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(4, 99).GetMoney()}}, "incident_ceiling")
	w.refuses(lea, send, "PermissionDenied ABOVE_INCIDENT_CEILING ceiling=4.99 EUR limit=money total=5.00 EUR")
	w.updates(&goodshipv1.Workspace{IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(5, 0).GetMoney()}}, "incident_ceiling")
	first := do[*goodshipv1.Incident](w, lea, send)
	same(t, "repeated", do[*goodshipv1.Incident](w, lea, send), first)
	w.refuses(lea, &goodshipv1.SendApologyRequest{IncidentId: id, PreviewToken: token}, "FailedPrecondition APOLOGY_SENT")
	w.refuses(lea, &goodshipv1.PreviewApologyRequest{IncidentId: id}, "FailedPrecondition APOLOGY_SENT")
	w.refuses(backend, adding(id, affected(lou)), "PermissionDenied ABOVE_INCIDENT_CEILING ceiling=5.00 EUR limit=money total=10.00 EUR")
	w.refuses(lea, &goodshipv1.UpdateIncidentRequest{IncidentId: id, Incident: &goodshipv1.IncidentUpdate{Text: "x", WhatWeDid: "Fixed"},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"text", "what_we_did"}}}, "FailedPrecondition APOLOGY_SENT fields=what_we_did")
	equal(t, "what is for us changes", w.amends(id, &goodshipv1.IncidentUpdate{WhatWeDid: "Fixed"}, "what_we_did").WhatWeDid, "Fixed")
	w.updates(&goodshipv1.Workspace{}, "incident_ceiling")
	w.refuses(lea, &goodshipv1.PreviewApologyRequest{IncidentId: other}, "PermissionDenied ABOVE_INCIDENT_CEILING ceiling=0.00 EUR limit=money total=5.00 EUR")
}

func TestAnApologyOfBasisPoints(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	declare := func(n int32) string {
		id := do[*goodshipv1.Incident](w, lea, &goodshipv1.DeclareIncidentRequest{Incident: w.outage(plain, points(n))}).Id
		w.adds(id, affected(kim), affected(lou))
		return id
	}
	tooMuch, half := declare(5001), declare(5000)
	w.refuses(lea, &goodshipv1.PreviewApologyRequest{IncidentId: tooMuch},
		"PermissionDenied ABOVE_INCIDENT_CEILING ceiling=5000 limit=basis_points total=5001")
	if total := w.previews(half).Total; total != nil {
		t.Errorf("got a total of %v, want none", total)
	}
	w.updates(&goodshipv1.Workspace{LeaderAllowance: allowance(nil, nil, 10_000, 10_000)}, "leader_allowance")
	conv := w.opens(kim, "It skips")
	w.claims(lea, conv)
	before := do[*goodshipv1.Credit](w, lea, &goodshipv1.GrantCreditRequest{ConversationId: conv, Amount: points(5001), Reason: "It skipped"})
	w.sendsOff(half)
	w.goOut()
	equal(t, "outcome", w.progress(half), "SENT 2: 0 1 0 0 0 1")
	equal(t, "whose bill is free already", w.apologyTo(half, kim).SkipReason, goodshipv1.SkipReason_SKIP_REASON_BILL_IS_FREE)
	equal(t, "no conversation", w.apologyTo(half, kim).ConversationId+w.apologyTo(half, kim).CreditId, "")
	equal(t, "nor half of one", len(do[*goodshipv1.ListConversationsResponse](w, kim, &goodshipv1.ListConversationsRequest{}).Conversations), 1)

	equal(t, "added again, for nothing", w.adds(half, affected(kim), affected(lou)), "2 1 2")
	w.goOut()
	equal(t, "still", w.progress(half), "SENT 2: 0 1 0 0 0 1")
	equal(t, "the bill was sent", told(w.settles(bill(before.Id, "invoice 1"))), "SETTLED")
	equal(t, "added again", w.adds(half, affected(kim), affected(lou)), "2 1 2")
	equal(t, "going out again", w.progress(half), "SENDING 2: 1 1 0 0 0 0")
	w.goOut()
	equal(t, "in the end", w.progress(half), "SENT 2: 0 2 0 0 0 0")
	equal(t, "no reason any more", w.apologyTo(half, kim).SkipReason, goodshipv1.SkipReason_SKIP_REASON_UNSPECIFIED)
	equal(t, "and once", w.adds(half, affected(kim), affected(lou)), "2 0 2")
}
