package support_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/rules"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// How credits stand.
const (
	pending  = goodshipv1.CreditState_CREDIT_STATE_PENDING
	settled  = goodshipv1.CreditState_CREDIT_STATE_SETTLED
	refused  = goodshipv1.CreditState_CREDIT_STATE_REFUSED
	reversed = goodshipv1.CreditState_CREDIT_STATE_REVERSED
)

// euros is so many euros and cents.
func euros(units int64, cents int64) *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: rules.Money("EUR", units*1000+cents*10)}}
}

func points(n int32) *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_BasisPoints{BasisPoints: n}}
}

func allowance(perGrant, perDay *goodshipv1.CreditAmount, pointsPerGrant, pointsPerDay int32) *goodshipv1.Allowance {
	return &goodshipv1.Allowance{
		MoneyPerGrant: perGrant.GetMoney(), MoneyPerDay: perDay.GetMoney(), BasisPointsPerGrant: pointsPerGrant, BasisPointsPerDay: pointsPerDay,
	}
}

// empowers has the workspace credit euros: agents 5 a grant and 12 a day, and 500 and 1,200 basis points; leaders 100 and 1,000, and
// 5,000 and 9,000.
func (w *world) empowers() {
	w.t.Helper()
	w.updates(&goodshipv1.Workspace{
		CurrencyCode: "EUR", TimeZone: "Europe/Madrid", Allowance: allowance(euros(5, 0), euros(12, 0), 500, 1200),
		LeaderAllowance: allowance(euros(100, 0), euros(1000, 0), 5000, 9000),
	}, "currency_code", "time_zone", "allowance", "leader_allowance")
}

// creditable is a conversation in which ada may grant.
func creditable(w *world) string {
	w.empowers()
	return owned(w)
}

func granting(id string, amount *goodshipv1.CreditAmount) *goodshipv1.GrantCreditRequest {
	return &goodshipv1.GrantCreditRequest{ConversationId: id, Amount: amount, Reason: "It skipped"}
}

// grants lets somebody grant a credit.
func (w *world) grants(p person, id string, amount *goodshipv1.CreditAmount) *goodshipv1.Credit {
	w.t.Helper()
	return do[*goodshipv1.Credit](w, p, granting(id, amount))
}

// settles lets billing say what it did with one credit, and returns what became of it.
func (w *world) settles(item *goodshipv1.Settlement) *goodshipv1.SettleResult {
	w.t.Helper()
	return do[*goodshipv1.SettleCreditsResponse](w, backend, &goodshipv1.SettleCreditsRequest{Settlements: []*goodshipv1.Settlement{item}}).Results[0]
}

func bill(id, reference string) *goodshipv1.Settlement {
	return &goodshipv1.Settlement{CreditId: id, Outcome: &goodshipv1.Settlement_BillingReference{BillingReference: reference}}
}

func refuse(id, why string) *goodshipv1.Settlement {
	return &goodshipv1.Settlement{CreditId: id, Outcome: &goodshipv1.Settlement_Refusal{Refusal: why}}
}

// ledgerOf tells a customer's ledger: what is owed and settled, and the entries.
func (w *world) ledgerOf(p person) string {
	w.t.Helper()
	l := do[*goodshipv1.GetLedgerResponse](w, backend, &goodshipv1.GetLedgerRequest{CustomerId: p.id(), PageSize: 100})
	var words []string
	for _, b := range l.Balances {
		words = append(words, "owed "+said(&goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: b.Owed}}),
			"settled "+said(&goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: b.Settled}}))
	}
	if l.BasisPointsOwed != 0 {
		words = append(words, fmt.Sprint("owed ", l.BasisPointsOwed))
	}
	for _, e := range l.Entries {
		amount := points(e.BasisPoints)
		if e.Money != nil {
			amount.Amount = &goodshipv1.CreditAmount_Money{Money: e.Money}
		}
		words = append(words, fmt.Sprintf("%d %s %s", e.Number, e.Kind.String()[len("LEDGER_ENTRY_KIND_"):], said(amount)))
	}
	return strings.Join(words, ", ")
}

// said tells an amount.
func said(a *goodshipv1.CreditAmount) string {
	m := a.GetMoney()
	if m == nil {
		return fmt.Sprint(a.GetBasisPoints())
	}
	mills, err := rules.Mills(m)
	if err != nil {
		return err.Error()
	}
	return rules.Words(m.CurrencyCode, mills)
}

func TestGrantCredit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := creditable(w)
	credit := w.grants(ada, id, euros(4, 50))
	now := w.log(id)[len(w.log(id))-1].CreateTime
	want := &goodshipv1.Credit{
		Id: credit.Id, CustomerId: "kim", ConversationId: id, Amount: euros(4, 50), Reason: "It skipped", State: pending,
		SettleByTime: timestamppb.New(now.AsTime().Add(30 * 24 * time.Hour)), AgentId: "ada", CreateTime: now,
	}
	same(t, "credit", credit, want)
	for _, p := range []person{ben, lea, backend} {
		same(t, "credit read by "+string(p), do[*goodshipv1.Credit](w, p, &goodshipv1.GetCreditRequest{CreditId: credit.Id}), want)
	}
	seen := proto.CloneOf(want)
	seen.AgentId = ""
	same(t, "credit read by its customer", do[*goodshipv1.Credit](w, kim, &goodshipv1.GetCreditRequest{CreditId: credit.Id}), seen)
	equal(t, "log", w.story(id), "opened message_sent wait_began claimed credit_granted")
	granted := w.log(id)[4]
	same(t, "event", granted.GetCreditGranted(), &goodshipv1.CreditGranted{CreditId: credit.Id, Amount: euros(4, 50), SettleByTime: want.SettleByTime})
	equal(t, "public revision", granted.PublicRevision, 4)
	equal(t, "ledger", w.ledgerOf(kim), "owed 4.50 EUR, settled 0.00 EUR, 1 GRANTED 4.50 EUR")
	equal(t, "state", w.reads(kim, id).State, waiting)

	settleBy := timestamppb.New(w.clock.Now().Add(400 * 24 * time.Hour))
	req := granting(id, points(100))
	req.SettleByTime = settleBy
	same(t, "settle by", do[*goodshipv1.Credit](w, ada, req).SettleByTime, settleBy)
	for _, at := range []time.Duration{0, -time.Hour, 400*24*time.Hour + time.Minute} {
		req.SettleByTime = timestamppb.New(w.clock.Now().Add(at))
		w.refuses(ada, req, "InvalidArgument INVALID_REQUEST settle_by_time")
	}
	for _, amount := range []*goodshipv1.CreditAmount{euros(0, 0), euros(-1, 0), euros(1_000_000, 1)} {
		w.refuses(lea, granting(id, amount), "InvalidArgument INVALID_REQUEST amount.money")
	}
}

// TestGrantInAnyState grants where the customer waits, has an answer, is blocked, or the matter is closed; it claims nothing.
func TestGrantInAnyState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := creditable(w)
	w.grants(ada, id, points(1))
	w.says(ada, id, "Mended.")
	w.grants(ada, id, points(1))
	w.confirms(kim, id)
	w.grants(ada, id, points(1))
	do[*goodshipv1.Customer](w, backend, &goodshipv1.BlockCustomerRequest{CustomerId: "kim", Reason: "Abuse"})
	w.grants(ada, id, points(1))
	w.stands(id, "RESOLVED owner=ada helpers=")
	told := func(who person, req proto.Message, want string) {
		t.Helper()
		_, err := w.call(w.by(who), req)
		if got := status.Convert(err).Message(); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", req.ProtoReflect().Descriptor().Name(), got, want)
		}
	}
	told(ben, granting(id, points(1)), "RESOLVED: ask its owner to invite you.")
	w.invites(ada, id, ben)
	w.grants(ben, id, points(1))
	do[*goodshipv1.Conversation](w, ada, &goodshipv1.ReleaseConversationRequest{ConversationId: id})
	told(ada, granting(id, points(1)), "RESOLVED and has no owner: ask a leader or one of its helpers to do it.")
	told(lea, &goodshipv1.InviteHelperRequest{ConversationId: id, AgentId: "ada"}, "RESOLVED: when a message from the customer opens it again, claim it.")
	w.grants(ben, id, points(1))
	unowned := w.opens(lou, "Hello?")
	told(ada, granting(unowned, points(1)), "Claim the conversation")
	w.refuses(ada, granting(unowned, points(1)), "PermissionDenied NOT_A_PARTICIPANT")
	w.grants(lea, unowned, points(1))
	w.stands(unowned, "WAITING owner= helpers=")
}

// TestForeignCreditIsMissing reads other people's credits, which read like none.
func TestForeignCreditIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := foundWorld(t, w.clock, w.store)
	credit := w.grants(ada, creditable(w), points(1))
	missing := &goodshipv1.GetCreditRequest{CreditId: "cred_" + strings.Repeat("0", 26)}
	_, want := w.call(w.by(lou), missing)
	for _, foreign := range []struct {
		w *world
		p person
	}{{w, lou}, {other, kim}, {other, ada}, {other, backend}} {
		_, err := foreign.w.call(foreign.w.by(foreign.p), &goodshipv1.GetCreditRequest{CreditId: credit.Id})
		equal(t, "error", fmt.Sprint(refusal(err), err), fmt.Sprint("NotFound CREDIT_NOT_FOUND", want))
	}
	equal(t, "listed to another customer", len(do[*goodshipv1.ListCreditsResponse](w, lou, &goodshipv1.ListCreditsRequest{}).Credits), 0)
	w.refuses(lou, &goodshipv1.ListCreditsRequest{CustomerId: "kim"}, "InvalidArgument INVALID_REQUEST customer_id")
	w.refuses(lou, &goodshipv1.ListCreditsRequest{ConversationId: credit.ConversationId}, "NotFound CONVERSATION_NOT_FOUND")
	result := other.settles(bill(credit.Id, "invoice 1"))
	equal(t, "settled by another workspace", result.GetError().GetMessage(), want.Error())
	other.refuses(lea, &goodshipv1.ReverseCreditRequest{CreditId: credit.Id, Reason: "x"}, "NotFound CREDIT_NOT_FOUND")
}

// TestListCredits pages through them by each filter.
func TestListCredits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := creditable(w)
	theirs := w.opens(lou, "Hello?")
	var all []string
	for i := range 7 {
		id := mine
		if i%3 == 2 {
			id = theirs
		}
		all = append([]string{w.grants(lea, id, points(1)).Id}, all...)
	}
	w.settles(bill(all[0], "invoice 1"))
	pick := func(from []string, take ...int) string {
		var ids []string
		for _, i := range take {
			ids = append(ids, from[i])
		}
		return list(ids)
	}
	for _, c := range []struct {
		name string
		p    person
		req  *goodshipv1.ListCreditsRequest
		want string
	}{
		{"all", backend, &goodshipv1.ListCreditsRequest{}, list(all)},
		{"of a conversation", ada, &goodshipv1.ListCreditsRequest{ConversationId: theirs}, pick(all, 1, 4)},
		{"of a customer", ada, &goodshipv1.ListCreditsRequest{CustomerId: "kim"}, pick(all, 0, 2, 3, 5, 6)},
		{"of oneself", kim, &goodshipv1.ListCreditsRequest{CustomerId: "kim"}, pick(all, 0, 2, 3, 5, 6)},
		{"of whoever calls", lou, &goodshipv1.ListCreditsRequest{}, pick(all, 1, 4)},
		{"pending", backend, &goodshipv1.ListCreditsRequest{State: pending}, pick(all, 1, 2, 3, 4, 5, 6)},
		{"settled of a customer", backend, &goodshipv1.ListCreditsRequest{State: settled, CustomerId: "kim"}, all[0]},
		{"pending of a conversation of a customer", backend, &goodshipv1.ListCreditsRequest{State: pending, ConversationId: mine, CustomerId: "kim"}, pick(all, 2, 3, 5, 6)},
		{"of a customer elsewhere", backend, &goodshipv1.ListCreditsRequest{ConversationId: mine, CustomerId: "lou"}, ""},
	} {
		for size := range int32(4) {
			req, got := proto.CloneOf(c.req), []string{}
			for req.PageSize = size; ; {
				page := do[*goodshipv1.ListCreditsResponse](w, c.p, req)
				for _, credit := range page.Credits {
					got = append(got, credit.Id)
				}
				if req.PageToken = page.NextPageToken; req.PageToken == "" {
					break
				}
			}
			equal(t, fmt.Sprintf("%s, %d a page", c.name, size), list(got), c.want)
		}
	}
	w.refuses(backend, &goodshipv1.ListCreditsRequest{CustomerId: "nobody"}, "NotFound CUSTOMER_NOT_FOUND customer_id=nobody")
	token := do[*goodshipv1.ListCreditsResponse](w, backend, &goodshipv1.ListCreditsRequest{PageSize: 2}).NextPageToken
	w.refuses(backend, &goodshipv1.ListCreditsRequest{PageToken: token, State: pending}, "InvalidArgument INVALID_PAGE_TOKEN")
	w.refuses(kim, &goodshipv1.ListCreditsRequest{PageToken: token}, "InvalidArgument INVALID_PAGE_TOKEN")
}

// TestListCreditsOfAnIncident lists by what only some of many have.
func TestListCreditsOfAnIncident(t *testing.T) {
	t.Parallel()
	w := owesApologies(t)
	goodwill := w.grants(lea, creditable(w), points(1)).Id
	id := w.declares(plain)
	w.adds(id, affected(kim), affected(lou))
	w.sendsOff(id)
	w.goOut()
	ofKim, ofLou := w.apologyTo(id, kim).CreditId, w.apologyTo(id, lou).CreditId
	listed := func(req *goodshipv1.ListCreditsRequest) string {
		var ids []string
		for {
			page := do[*goodshipv1.ListCreditsResponse](w, backend, req)
			for _, c := range page.Credits {
				ids = append(ids, c.Id)
			}
			if req.PageToken = page.NextPageToken; req.PageToken == "" {
				slices.Sort(ids)
				return list(ids)
			}
		}
	}
	both := []string{ofKim, ofLou}
	slices.Sort(both)
	for size := range int32(4) {
		equal(t, "of the incident", listed(&goodshipv1.ListCreditsRequest{IncidentId: id, PageSize: size}), list(both))
		equal(t, "and the customer", listed(&goodshipv1.ListCreditsRequest{IncidentId: id, CustomerId: "lou", PageSize: size}), ofLou)
	}
	equal(t, "none is overdue", listed(&goodshipv1.ListCreditsRequest{Overdue: true}), "")
	w.clock.Jump(31 * 24 * time.Hour)
	w.settles(bill(ofKim, "invoice 1"))
	w.settles(bill(goodwill, "invoice 1"))
	for size := range int32(4) {
		equal(t, "overdue", listed(&goodshipv1.ListCreditsRequest{Overdue: true, IncidentId: id, PageSize: size}), ofKim)
	}
	w.refuses(backend, &goodshipv1.ListCreditsRequest{IncidentId: "inc_" + strings.Repeat("0", 26)}, "NotFound INCIDENT_NOT_FOUND")
	w.refuses(kim, &goodshipv1.ListCreditsRequest{IncidentId: id}, "InvalidArgument INVALID_REQUEST incident_id")
	w.refuses(kim, &goodshipv1.ListCreditsRequest{Overdue: true}, "InvalidArgument INVALID_REQUEST overdue")
}

// TestVisitorsCredit grants to a visitor who then signs in: the credit is the customer's, in the ledger of who they were.
func TestVisitorsCredit(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	s.empowers()
	session := s.comes()
	visitor := bearer(session.Token)
	id := s.asks(session)
	early := s.grants(lea, id, points(4000))
	equal(t, "customer", early.CustomerId, session.VisitorId)
	same(t, "read by the visitor", do[*goodshipv1.Credit](s.world, visitor, &goodshipv1.GetCreditRequest{CreditId: early.Id}).Amount, points(4000))
	equal(t, "signs in", s.signsIn(kim, session.Token), "")
	equal(t, "customer", do[*goodshipv1.Credit](s.world, backend, &goodshipv1.GetCreditRequest{CreditId: early.Id}).CustomerId, "kim")
	late := s.grants(lea, id, points(5000))
	for _, p := range []person{kim, backend} {
		credits := do[*goodshipv1.ListCreditsResponse](s.world, p, &goodshipv1.ListCreditsRequest{CustomerId: "kim"}).Credits
		equal(t, "credits", len(credits), 2)
		equal(t, "newest", credits[0].Id, late.Id)
	}
	equal(t, "ledger of the customer", s.ledgerOf(kim), "owed 5000, 1 GRANTED 5000")
	equal(t, "ledger of the visitor", s.ledgerOf(person("customer/"+session.VisitorId)), "owed 4000, 1 GRANTED 4000")
	other := s.opens(kim, "Hello?") // both come off one bill
	s.refuses(lea, granting(other, points(1001)), "FailedPrecondition BILL_IS_FREE remaining=1000")
	s.updates(&goodshipv1.Workspace{LeaderAllowance: allowance(nil, nil, 5000, 100_000)}, "leader_allowance")
	s.refuses(lea, granting(other, points(1001)), "FailedPrecondition BILL_IS_FREE remaining=1000")
	s.settles(bill(early.Id, "invoice 1"))
	s.grants(lea, other, points(5000))
	equal(t, "ledger of the visitor", s.ledgerOf(person("customer/"+session.VisitorId)), "1 GRANTED 4000, 2 SETTLED -4000")
}

// TestGetLedger pages through it.
func TestGetLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := creditable(w)
	for range 5 {
		w.grants(lea, id, euros(1, 0))
	}
	req := &goodshipv1.GetLedgerRequest{CustomerId: "kim", PageSize: 2}
	numbers := []int32{}
	for {
		page := do[*goodshipv1.GetLedgerResponse](w, lea, req)
		same(t, "balance", page.Balances[0], &goodshipv1.Balance{Owed: rules.Money("EUR", 5000), Settled: rules.Money("EUR", 0)})
		for _, e := range page.Entries {
			numbers = append(numbers, e.Number)
		}
		if req.PageToken = page.NextPageToken; req.PageToken == "" {
			break
		}
	}
	equal(t, "numbers", list(numbers), "1 2 3 4 5")
	equal(t, "of who has none", w.ledgerOf(lou), "")
	w.refuses(lea, &goodshipv1.GetLedgerRequest{CustomerId: "nobody"}, "NotFound CUSTOMER_NOT_FOUND customer_id=nobody")
}

// aboutCredits are refusals for what may be granted and settled.
var aboutCredits = map[string]provocation{
	"CREDIT_NOT_FOUND": {kim, waits, on(func(string) *goodshipv1.GetCreditRequest {
		return &goodshipv1.GetCreditRequest{CreditId: "cred_" + strings.Repeat("0", 26)}
	}), "NotFound CREDIT_NOT_FOUND"},
	"ABOVE_ALLOWANCE": {ada, creditable, on(func(id string) *goodshipv1.GrantCreditRequest { return granting(id, euros(5, 1)) }),
		"PermissionDenied ABOVE_ALLOWANCE limit=money_per_grant remaining=5.00 EUR"},
	"CURRENCY_MISMATCH": {ada, owned, on(func(id string) *goodshipv1.GrantCreditRequest { return granting(id, euros(1, 0)) }),
		"FailedPrecondition CURRENCY_MISMATCH"},
	"BILL_IS_FREE": {lea, func(w *world) string {
		id := creditable(w)
		w.grants(lea, id, points(5000))
		w.grants(lea, id, points(4000))
		return id
	}, on(func(id string) *goodshipv1.GrantCreditRequest { return granting(id, points(1001)) }), "FailedPrecondition BILL_IS_FREE remaining=1000"},
	"CREDIT_NOT_PENDING": {lea, creditable, func(w *world, id string) proto.Message {
		credit := w.grants(ada, id, points(1)).Id
		w.settles(bill(credit, "invoice 1"))
		return &goodshipv1.ReverseCreditRequest{CreditId: credit, Reason: "x"}
	}, "FailedPrecondition CREDIT_NOT_PENDING state=SETTLED"},
}
