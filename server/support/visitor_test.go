package support_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/faketime"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

// site is a web page with the widget of a world's workspace.
type site struct {
	*world
	key string
}

func (w *world) site() *site {
	w.t.Helper()
	made := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Page", Kind: goodshipv1.ApiKeyKind_API_KEY_KIND_PUBLISHABLE})
	return &site{w, made.ApiKey.PublishableKey}
}

// session begins a session, or goes on with one.
func (s *site) session(renewal string) (*goodshipv1.VisitorSession, error) {
	return s.CreateVisitorSession(s.by(bearer(s.key)), &goodshipv1.CreateVisitorSessionRequest{RenewalToken: renewal})
}

// comes begins a visitor's session.
func (s *site) comes() *goodshipv1.VisitorSession {
	s.t.Helper()
	session, err := s.session("")
	if err != nil {
		s.t.Fatalf("begin a session: %v", refusal(err))
	}
	return session
}

// asks lets a visitor open a conversation.
func (s *site) asks(session *goodshipv1.VisitorSession) string {
	s.t.Helper()
	return s.opens(bearer(session.Token), "Hello?")
}

func (w *world) signsIn(p person, token string) string {
	w.t.Helper()
	_, err := w.SignInVisitor(w.by(p), &goodshipv1.SignInVisitorRequest{VisitorToken: token})
	return refusal(err)
}

// conversations returns the ids of what a caller sees, newest activity first.
func (w *world) conversations(ctx context.Context, req *goodshipv1.ListConversationsRequest) string {
	w.t.Helper()
	reply, err := w.ListConversations(ctx, req)
	if err != nil {
		w.t.Fatalf("list: %v", refusal(err))
	}
	var ids []string
	for _, c := range reply.Conversations {
		ids = append(ids, c.Id)
	}
	return strings.Join(ids, " ")
}

// TestVisitorSession begins a session, which keeps nothing, and goes on with it for as long as it is used.
func TestVisitorSession(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	before := image(t, s.store)
	first := s.comes()
	equal(t, "other visitor", s.comes().VisitorId != first.VisitorId, true)
	equal(t, "expires", first.ExpireTime.AsTime(), s.clock.Now().Add(time.Hour))
	equal(t, "renewal expires", first.RenewalExpireTime.AsTime(), s.clock.Now().Add(30*24*time.Hour))
	equal(t, "conversations", s.conversations(s.by(bearer(first.Token)), &goodshipv1.ListConversationsRequest{}), "")
	session := first
	for range 3 {
		s.clock.Jump(20 * 24 * time.Hour)
		equal(t, "authenticate", s.knocks(session.Token, ""), credentialExpired)
		renewed, err := s.session(session.RenewalToken)
		equal(t, "renew", refusal(err), "")
		equal(t, "visitor", renewed.GetVisitorId(), first.VisitorId)
		s.by(bearer(renewed.GetToken()))
		session = renewed
	}
	s.unchanged(before)

	_, err := s.session(first.RenewalToken)
	equal(t, "renew with an old one", refusal(err), credentialExpired+ofRenewal)
	s.clock.Jump(30*24*time.Hour - time.Microsecond)
	_, err = s.session(session.RenewalToken)
	equal(t, "renew at the last moment", refusal(err), "")
	s.clock.Jump(time.Microsecond)
	_, err = s.session(session.RenewalToken)
	equal(t, "renew at its end", refusal(err), credentialExpired+ofRenewal)
	equal(t, "authenticate", s.knocks(s.comes().RenewalToken, ""), credentialInvalid)
}

// TestVisitorTokensAreOfTheirWorkspace renews and signs in with what is another workspace's, or no visitor's.
func TestVisitorTokensAreOfTheirWorkspace(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	s := foundWorld(t, clock, rehearsed{openStore(t, clock.Now)}).site()
	other := foundWorld(t, clock, s.store).site()
	foreign, own := other.comes(), s.comes()
	customers := do[*goodshipv1.CreateTokenResponse](s.world, backend, &goodshipv1.CreateTokenRequest{CustomerId: "kim"})
	for name, token := range map[string]string{
		"another workspace's": foreign.RenewalToken, "not for renewing": own.Token, "relabelled": "grt_" + strings.TrimPrefix(own.Token, "gtk_"),
		"a customer's": customers.Token, "cut": own.RenewalToken[:len(own.RenewalToken)-1], "a prefix": "grt_", "anything": "anything",
	} {
		_, err := s.session(token)
		equal(t, "renew with one that is "+name, refusal(err), credentialInvalid+ofRenewal)
	}
	for name, token := range map[string]string{
		"another workspace's": foreign.Token, "for renewing": own.RenewalToken, "relabelled": "gtk_" + strings.TrimPrefix(own.RenewalToken, "grt_"),
		"a customer's": customers.Token, "anything": "anything",
	} {
		equal(t, "sign in with one that is "+name, s.signsIn(kim, token), credentialInvalid+ofVisitor)
	}
	equal(t, "sign in", s.signsIn(kim, own.Token), "")
}

// TestSignInVisitor moves all that is a visitor's.
func TestSignInVisitor(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	older, mine := s.opens(kim, "Mine."), s.opens(kim, "Mine too.")
	session := s.comes()
	open, closed := s.asks(session), s.asks(session)
	visitor := person("customer/" + session.VisitorId)
	s.confirms(visitor, closed)
	s.says(ada, open, "Hello!")
	page := do[*goodshipv1.ListConversationsResponse](s.world, kim, &goodshipv1.ListConversationsRequest{PageSize: 1})
	read, err := s.MarkRead(s.by(bearer(session.Token)), &goodshipv1.MarkReadRequest{ConversationId: open, Number: 1})
	equal(t, "read", refusal(err), "")

	reply := do[*goodshipv1.SignInVisitorResponse](s.world, kim, &goodshipv1.SignInVisitorRequest{VisitorToken: session.Token})
	same(t, "reply", reply, &goodshipv1.SignInVisitorResponse{VisitorId: session.VisitorId})
	after := image(t, s.store)
	equal(t, "once more", s.signsIn(kim, session.Token), "")
	equal(t, "as somebody else", s.signsIn(lou, session.Token), credentialRevoked+ofVisitor)
	equal(t, "authenticate", s.knocks(session.Token, ""), credentialRevoked)
	_, err = s.session(session.RenewalToken)
	equal(t, "renew", refusal(err), credentialRevoked+ofRenewal)
	s.unchanged(after)

	all := &goodshipv1.ListConversationsRequest{}
	want := s.conversations(s.by(kim), all)
	equal(t, "conversations", len(strings.Fields(want)), 4)
	for _, id := range []string{"kim", session.VisitorId} {
		equal(t, "of "+id+" for agents", s.conversations(s.by(ada), &goodshipv1.ListConversationsRequest{CustomerId: id}), want)
		same(t, "customer by "+id, do[*goodshipv1.Customer](s.world, ada, &goodshipv1.GetCustomerRequest{CustomerId: id}),
			do[*goodshipv1.Customer](s.world, ada, &goodshipv1.GetCustomerRequest{CustomerId: "kim"}))
	}
	equal(t, "of whom for a backend that acts for the visitor", s.conversations(s.by(visitor), all), want)
	equal(t, "next page from before", s.conversations(s.by(kim), &goodshipv1.ListConversationsRequest{PageSize: 1, PageToken: page.NextPageToken}), older)
	for _, id := range []string{mine, open, closed} {
		equal(t, "customer for agents", s.reads(ada, id).CustomerId, "kim")
		equal(t, "customer for the customer", s.reads(kim, id).CustomerId, "kim")
	}
	same(t, "read mark", s.reads(kim, open).ReadMarks[0], read)
	equal(t, "number of what is said", s.says(kim, open, "It is me.").Number, 3)
	equal(t, "participants", len(s.reads(kim, open).Participants), 2)
	s.refuses(lou, &goodshipv1.GetConversationRequest{ConversationId: open}, "NotFound CONVERSATION_NOT_FOUND")
	s.rejects(kim, closed)
	for _, c := range do[*goodshipv1.ListCustomersResponse](s.world, ada, &goodshipv1.ListCustomersRequest{}).Customers {
		equal(t, "listed visitor", strings.HasPrefix(c.Id, "visitor_"), false)
	}
}

// TestSignedInVisitorIsTheCustomer names a visitor who signed in where customers are named.
func TestSignedInVisitorIsTheCustomer(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	session := s.comes()
	asked := s.asks(session)
	visitor := person("customer/" + session.VisitorId)
	equal(t, "sign in", s.signsIn(kim, session.Token), "")
	equal(t, "who is reached", s.reads(ada, s.reaches(ada, visitor, "Better?")).CustomerId, "kim")
	s.refuses(ada, &goodshipv1.CreateConversationRequest{CustomerId: "kim", OutreachReason: followUp, Text: "x"},
		"FailedPrecondition OUTREACH_UNANSWERED conversation_id="+strings.Fields(s.conversations(s.by(kim), &goodshipv1.ListConversationsRequest{}))[0])
	equal(t, "whose a new one is", s.reads(ada, s.opens(visitor, "Me again.")).CustomerId, "kim")
	equal(t, "who is named", do[*goodshipv1.Customer](s.world, backend, &goodshipv1.UpsertCustomerRequest{
		CustomerId: session.VisitorId, Customer: &goodshipv1.Customer{DisplayName: "Kim"},
	}).Id, "kim")
	do[*goodshipv1.Conversation](s.world, lea, &goodshipv1.DismissConversationRequest{
		ConversationId: asked, Reason: goodshipv1.DismissReason_DISMISS_REASON_ABUSE, SeenRevision: s.revision(asked), BlockCustomer: true,
	})
	s.refuses(kim, &goodshipv1.CreateConversationRequest{Text: "x"}, "PermissionDenied CUSTOMER_BLOCKED")
	s.refuses(visitor, &goodshipv1.CreateConversationRequest{Text: "x"}, "PermissionDenied CUSTOMER_BLOCKED")
	lift := &goodshipv1.BlockCustomerRequest{CustomerId: session.VisitorId, Reason: "Lifted", UntilTime: timestamppb.New(s.clock.Now())}
	equal(t, "block lifted", do[*goodshipv1.Customer](s.world, lea, lift).Block, nil)
	s.opens(kim, "Better.")
	s.refuses(visitor, &goodshipv1.SignInVisitorRequest{VisitorToken: s.comes().Token}, "PermissionDenied CALLER_NOT_ALLOWED allowed=CUSTOMER caller=VISITOR")
}

// TestSignInTakesOver lets what is held against a visitor, or for one, be the customer's.
func TestSignInTakesOver(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	arrives := func() (*goodshipv1.VisitorSession, person) {
		session := s.comes()
		s.asks(session)
		return session, person("customer/" + session.VisitorId)
	}
	block := func(p person, reason string, until *timestamppb.Timestamp) {
		do[*goodshipv1.Customer](s.world, lea, &goodshipv1.BlockCustomerRequest{CustomerId: p.id(), Reason: reason, UntilTime: until})
	}
	blockOf := func(p person) string {
		return do[*goodshipv1.Customer](s.world, ada, &goodshipv1.GetCustomerRequest{CustomerId: p.id()}).Block.GetReason()
	}
	first, visitor := arrives()
	ended, endedVisitor := arrives()
	block(visitor, "Abuse", nil)
	block(endedVisitor, "Over", timestamppb.New(s.clock.Now().Add(time.Minute)))
	outreach := s.reaches(ada, visitor, "Better?")
	s.clock.Jump(time.Minute)
	equal(t, "sign in", s.signsIn(kim, ended.Token), "")
	equal(t, "block after one that had ended", blockOf(kim), "")
	etag := do[*goodshipv1.Customer](s.world, ada, &goodshipv1.GetCustomerRequest{CustomerId: "kim"}).Etag
	equal(t, "sign in", s.signsIn(kim, first.Token), "")
	equal(t, "block", blockOf(kim), "Abuse")
	equal(t, "etag is another", do[*goodshipv1.Customer](s.world, ada, &goodshipv1.GetCustomerRequest{CustomerId: "kim"}).Etag != etag, true)
	again := &goodshipv1.CreateConversationRequest{CustomerId: "kim", OutreachReason: followUp, Text: "x"}
	s.refuses(ada, again, "FailedPrecondition OUTREACH_UNANSWERED conversation_id="+outreach)

	second, visitor := arrives()
	block(visitor, "Spam", nil)
	s.reaches(ada, visitor, "And you?")
	equal(t, "sign in", s.signsIn(kim, second.Token), "")
	equal(t, "block that was there", blockOf(kim), "Abuse")
	s.refuses(ada, again, "FailedPrecondition OUTREACH_UNANSWERED conversation_id="+outreach)
}

// TestSignInTakesTheLongerBlock signs in visitors who are blocked, as customers who are.
func TestSignInTakesTheLongerBlock(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	const forEver = time.Duration(0)
	block := func(id string, lasts time.Duration) {
		req := &goodshipv1.BlockCustomerRequest{CustomerId: id, Reason: "Of " + id}
		if lasts != forEver {
			req.UntilTime = timestamppb.New(s.clock.Now().Add(lasts))
		}
		do[*goodshipv1.Customer](s.world, backend, req)
	}
	for n, test := range []struct {
		visitor, customer time.Duration
		taken             bool
	}{
		{forEver, time.Minute, true},
		{time.Minute, forEver, false},
		{forEver, forEver, false},
		{time.Hour, time.Minute, true},
		{time.Minute, time.Hour, false},
		{time.Hour, time.Hour, false},
	} {
		p, session := person(fmt.Sprint("customer/c", n)), s.comes()
		s.knows(p)
		s.asks(session)
		block(session.VisitorId, test.visitor)
		block(p.id(), test.customer)
		before := s.customerOf(p)
		want := before.Block
		if test.taken {
			want = s.customerOf(person("customer/" + session.VisitorId)).Block
		}
		equal(t, "sign in", s.signsIn(p, session.Token), "")
		after := s.customerOf(p)
		same(t, fmt.Sprintf("block of %v, with one of %v", test.visitor, test.customer), after.Block, want)
		equal(t, "etag is another", after.Etag != before.Etag, test.taken)
	}
}

// customerOf returns a customer as agents see them.
func (w *world) customerOf(p person) *goodshipv1.Customer {
	w.t.Helper()
	return do[*goodshipv1.Customer](w, ada, &goodshipv1.GetCustomerRequest{CustomerId: p.id()})
}

// TestSignInWithoutConversation ends a session that nothing is kept of.
func TestSignInWithoutConversation(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	mine := s.opens(kim, "Mine.")
	session := s.comes()
	ctx := s.by(bearer(session.Token))
	equal(t, "sign in", s.signsIn(kim, session.Token), "")
	before := image(t, s.store)
	equal(t, "once more", s.signsIn(kim, session.Token), "")
	equal(t, "as somebody else", s.signsIn(lou, session.Token), credentialRevoked+ofVisitor)
	equal(t, "authenticate", s.knocks(session.Token, ""), credentialRevoked)
	s.answers(ctx, &goodshipv1.CreateConversationRequest{Text: "Hello?"}, credentialRevoked)
	_, err := s.session(session.RenewalToken)
	equal(t, "renew", refusal(err), credentialRevoked+ofRenewal)
	s.unchanged(before)
	equal(t, "conversations", s.conversations(s.by(kim), &goodshipv1.ListConversationsRequest{}), mine)
	later := s.opens(person("customer/"+session.VisitorId), "For whom an API key acts.")
	equal(t, "conversations", s.conversations(s.by(kim), &goodshipv1.ListConversationsRequest{}), later+" "+mine)
	for range 101 { // of those who wrote there are at most 100
		equal(t, "sign in", s.signsIn("customer/new", s.comes().Token), "")
	}
}

// TestSignInAtTheInstant signs a visitor in at the very instant at which the session began.
func TestSignInAtTheInstant(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	s := foundWorld(t, clock, openStore(t, clock.Now)).site()
	mine := s.opens(kim, "Mine.")
	clock.Jump(time.Second)
	session := s.comes()
	equal(t, "sign in", s.signsIn(kim, session.Token), "")
	equal(t, "time is the same", session.ExpireTime.AsTime(), clock.Now().Add(time.Hour))
	equal(t, "authenticate", s.knocks(session.Token, ""), credentialRevoked)
	equal(t, "as somebody else", s.signsIn(lou, session.Token), credentialRevoked+ofVisitor)
	_, err := s.session(session.RenewalToken)
	equal(t, "renew", refusal(err), credentialRevoked+ofRenewal)
	equal(t, "conversations", s.conversations(s.by(kim), &goodshipv1.ListConversationsRequest{}), mine)
}

// TestSignInLimit signs in more visitors as one customer than there may be.
func TestSignInLimit(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	for range 100 {
		session := s.comes()
		s.asks(session)
		equal(t, "sign in", s.signsIn(kim, session.Token), "")
	}
	session := s.comes()
	asked := s.asks(session)
	s.refuses(kim, &goodshipv1.SignInVisitorRequest{VisitorToken: session.Token}, "FailedPrecondition LIMIT_REACHED limit=100")
	equal(t, "conversations of the visitor", s.conversations(s.by(bearer(session.Token)), &goodshipv1.ListConversationsRequest{}), asked)
	ids := map[string]bool{}
	for token, more := "", true; more; more = token != "" {
		page := do[*goodshipv1.ListConversationsResponse](s.world, kim, &goodshipv1.ListConversationsRequest{PageSize: 7, PageToken: token})
		for _, c := range page.Conversations {
			equal(t, c.Id+" was there", ids[c.Id], false)
			ids[c.Id] = true
		}
		token = page.NextPageToken
	}
	equal(t, "conversations of the customer", len(ids), 100)
}

// TestRevokedVisitor ends the tokens of a visitor, known or not: the session too is over.
func TestRevokedVisitor(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"known": true, "unknown": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWorld(t).site()
			session := s.comes()
			if known {
				s.asks(session)
			}
			s.clock.Jump(time.Minute)
			renewed, err := s.session(session.RenewalToken)
			equal(t, "renew", refusal(err), "")
			do[*goodshipv1.RevokeTokensResponse](s.world, backend, &goodshipv1.RevokeTokensRequest{CustomerId: session.VisitorId})
			for _, one := range []*goodshipv1.VisitorSession{session, renewed} {
				equal(t, "authenticate", s.knocks(one.GetToken(), ""), credentialRevoked)
				equal(t, "sign in", s.signsIn(kim, one.GetToken()), credentialRevoked+ofVisitor)
				_, err := s.session(one.GetRenewalToken())
				equal(t, "renew", refusal(err), credentialRevoked+ofRenewal)
			}
		})
	}
}

// TestRevokedWhileRenewed revokes a session's tokens after its renewal was admitted: what the renewal makes does not work.
func TestRevokedWhileRenewed(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	kept := &hooked{Store: openStore(t, clock.Now)}
	s := foundWorld(t, clock, kept).site()
	session := s.comes()
	s.asks(session)
	clock.Jump(time.Second)
	var once sync.Once
	revoke := s.by(backend)
	kept.afterCustomer = func() {
		once.Do(func() {
			_, err := s.RevokeTokens(revoke, &goodshipv1.RevokeTokensRequest{CustomerId: session.VisitorId})
			equal(t, "revoke", refusal(err), "")
			clock.Jump(time.Second)
		})
	}
	renewed, err := s.session(session.RenewalToken)
	equal(t, "renew", refusal(err), "")
	equal(t, "authenticate", s.knocks(renewed.GetToken(), ""), credentialRevoked)
}

// TestSignedInMeanwhile lets calls go on that were let in before their visitor signed in: none has an effect.
func TestSignedInMeanwhile(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	session := s.comes()
	asked := s.asks(session)
	s.says(ada, asked, "Hello!")
	ctx := s.by(bearer(session.Token))
	equal(t, "sign in", s.signsIn(kim, session.Token), "")
	before := image(t, s.store)
	tried := map[string]bool{}
	for _, req := range []proto.Message{
		&goodshipv1.CreateConversationRequest{Text: "x"},
		&goodshipv1.CreateConversationRequest{Text: "x", ContinueOpen: true},
		&goodshipv1.SendMessageRequest{ConversationId: asked, Text: "x"},
		&goodshipv1.EditMessageRequest{ConversationId: asked, Number: 1, Text: "x"},
		&goodshipv1.RedactMessageRequest{ConversationId: asked, Number: 1},
		&goodshipv1.MarkReadRequest{ConversationId: asked, Number: 2},
		&goodshipv1.ConfirmResolutionRequest{ConversationId: asked},
		&goodshipv1.RejectResolutionRequest{ConversationId: asked},
		&goodshipv1.RateConversationRequest{ConversationId: asked, ResolutionNumber: 1, Rating: &goodshipv1.Rating{Solved: proto.Bool(true)}},
		&goodshipv1.SetPersonaRequest{ConversationId: asked},
		signal(asked, typing),
	} {
		s.answers(ctx, req, credentialRevoked)
		tried[strings.TrimSuffix(string(req.ProtoReflect().Descriptor().Name()), "Request")] = true
	}
	s.unchanged(before)
	for name, m := range methods() {
		if !m.reads && slices.Contains(m.callers, goodshipv1.Caller_CALLER_VISITOR) {
			equal(t, name+" is tried", tried[name], true)
		}
	}
}

// TestActingForWhoSignedIn lets calls go on that a backend makes for a visitor, and that were let in before the visitor signed
// in: they are the customer's.
func TestActingForWhoSignedIn(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	session := s.comes()
	asked := s.asks(session)
	ctx := s.by(person("customer/" + session.VisitorId))
	equal(t, "sign in", s.signsIn(kim, session.Token), "")
	do[*goodshipv1.Customer](s.world, lea, &goodshipv1.BlockCustomerRequest{CustomerId: "kim", Reason: "Abuse"})
	say := &goodshipv1.SendMessageRequest{ConversationId: asked, Text: "And?"}
	s.answers(ctx, say, "PermissionDenied CUSTOMER_BLOCKED")
	s.answers(ctx, &goodshipv1.CreateConversationRequest{Text: "x"}, "PermissionDenied CUSTOMER_BLOCKED")
	lift := &goodshipv1.BlockCustomerRequest{CustomerId: "kim", Reason: "Lifted", UntilTime: timestamppb.New(s.clock.Now())}
	do[*goodshipv1.Customer](s.world, lea, lift)
	_, err := s.SendMessage(ctx, say)
	equal(t, "say", refusal(err), "")
	opened, err := s.CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: "x"})
	equal(t, "open", refusal(err), "")
	equal(t, "conversations", s.conversations(s.by(kim), &goodshipv1.ListConversationsRequest{}), opened.GetId()+" "+asked)
}

// TestVisitorIsRepeated repeats a visitor's call before and after signing in.
func TestVisitorIsRepeated(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	session := s.comes()
	visitor := person("customer/" + session.VisitorId)
	create := &goodshipv1.CreateConversationRequest{Text: "Hello?", RequestId: "once"}
	made, err := s.CreateConversation(s.by(bearer(session.Token)), create)
	equal(t, "open", refusal(err), "")
	again, err := s.CreateConversation(s.by(bearer(session.Token)), create)
	equal(t, "again", refusal(err), "")
	equal(t, "conversation", again.GetId(), made.GetId())
	equal(t, "by a backend that acts for the visitor", do[*goodshipv1.Conversation](s.world, visitor, create).Id, made.GetId())
	equal(t, "sign in", s.signsIn(kim, session.Token), "")
	equal(t, "by the backend afterwards", do[*goodshipv1.Conversation](s.world, visitor, create).Id, made.GetId())
}

// TestExternalIDIsNotForCustomers keeps customers' own tokens from trying which external ids are taken.
func TestExternalIDIsNotForCustomers(t *testing.T) {
	t.Parallel()
	s := newWorld(t).site()
	taken := &goodshipv1.CreateConversationRequest{Text: "Hello?", ExternalId: "case-1"}
	do[*goodshipv1.Conversation](s.world, lou, taken)
	token := do[*goodshipv1.CreateTokenResponse](s.world, backend, &goodshipv1.CreateTokenRequest{CustomerId: "kim"}).Token
	before := image(t, s.store)
	for _, token := range []string{token, s.comes().Token} {
		for _, id := range []string{"case-1", "case-2"} {
			req := proto.CloneOf(taken)
			req.ExternalId = id
			s.answers(s.by(bearer(token)), req, "InvalidArgument INVALID_REQUEST external_id")
			equal(t, "found", s.conversations(s.by(bearer(token)), &goodshipv1.ListConversationsRequest{ExternalId: id}), "")
		}
	}
	s.unchanged(before)
	s.refuses(kim, taken, "AlreadyExists EXTERNAL_ID_TAKEN")
}

// TestVisitorsAndCustomers does at random what visitors and customers do, twice and at once too: each conversation is seen by
// exactly its person at each moment, none is lost, and none is twice in a list.
func TestVisitorsAndCustomers(t *testing.T) {
	t.Parallel()
	clock := faketime.New()
	kept := rehearsed{openStore(t, clock.Now)}
	rapid.Check(t, func(rt *rapid.T) {
		m := &people{site: foundWorld(t, clock, kept).site(), rt: rt, customers: []person{kim, lou, "customer/max"}}
		rt.Repeat(map[string]func(*rapid.T){
			"come":              m.come,
			"visitor writes":    m.visitorWrites,
			"customer writes":   m.customerWrites,
			"say":               m.say,
			"solve":             m.solve,
			"sign in":           m.signIn,
			"sign in at once":   m.signInAtOnce,
			"write and sign in": m.writeAndSignIn,
			"renew":             m.renew,
			"wait":              func(*rapid.T) { clock.Jump(10 * time.Minute) },
			"":                  m.check,
		})
	})
}

// people are visitors and customers, as they should be.
type people struct {
	*site
	rt        *rapid.T
	customers []person
	visits    []*visit
	// matters are the conversations, by creation.
	matters []*matter
}

// visit is a visitor's session.
type visit struct {
	*goodshipv1.VisitorSession
	// as is who the visitor turned out to be.
	as person
}

// matter is a conversation of a visitor's or a customer's.
type matter struct {
	id    string
	visit *visit
	by    person
	open  bool
}

// owner is whose it is now; nobody's named customer if a visitor's.
func (m *matter) owner() person {
	if m.visit != nil {
		return m.visit.as
	}
	return m.by
}

func (m *people) one(n int) int { return rapid.IntRange(0, n-1).Draw(m.rt, "one") }

func (m *people) customer() person { return m.customers[m.one(len(m.customers))] }

func (m *people) visit() *visit {
	if len(m.visits) == 0 {
		m.rt.Skip("nobody came")
	}
	return m.visits[m.one(len(m.visits))]
}

// want is how a visitor's token is refused.
func (m *people) want(v *visit) string {
	switch {
	case !v.ExpireTime.AsTime().After(m.clock.Now()):
		return credentialExpired
	case v.as != "":
		return credentialRevoked
	}
	return ""
}

func (m *people) is(what, got, want string) {
	if got != want {
		m.rt.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

func (m *people) come(*rapid.T) {
	if len(m.visits) < 6 {
		m.visits = append(m.visits, &visit{VisitorSession: m.comes()})
	}
}

// mine returns the matters of a visitor or a customer.
func (m *people) mine(v *visit, p person) []*matter {
	return slices.DeleteFunc(slices.Clone(m.matters), func(x *matter) bool { return x.owner() != p || v != nil && x.visit != v })
}

// opening is the request of somebody who writes, and which matter it should go on with, if any.
func (m *people) opening(v *visit, p person) (*goodshipv1.CreateConversationRequest, *matter) {
	req := &goodshipv1.CreateConversationRequest{Text: "Hello?", ContinueOpen: m.one(2) == 0}
	if !req.ContinueOpen {
		return req, nil
	}
	var newest *matter
	for _, x := range m.mine(v, p) {
		if x.open {
			newest = x
		}
	}
	return req, newest
}

// opened notes what became of an opening.
func (m *people) opened(conv *goodshipv1.Conversation, expected *matter, made *matter) {
	if expected != nil {
		m.is("goes on", conv.Id, expected.id)
		return
	}
	if slices.ContainsFunc(m.matters, func(x *matter) bool { return x.id == conv.Id }) {
		m.rt.Fatalf("%s: got a conversation that was there, want another", conv.Id)
	}
	made.id, made.open = conv.Id, true
	m.matters = append(m.matters, made)
}

func (m *people) visitorWrites(*rapid.T) {
	v := m.visit()
	c, err := m.Authenticate(m.t.Context(), v.Token, "")
	m.is("authenticate", refusal(err), m.want(v))
	if err != nil {
		return
	}
	req, expected := m.opening(v, "")
	conv, err := m.CreateConversation(support.WithCaller(m.t.Context(), c), req)
	m.is("visitor writes", refusal(err), "")
	m.opened(conv, expected, &matter{visit: v})
}

func (m *people) customerWrites(*rapid.T) {
	p := m.customer()
	req, expected := m.opening(nil, p)
	conv, err := m.CreateConversation(m.by(p), req)
	m.is("customer writes", refusal(err), "")
	m.opened(conv, expected, &matter{by: p})
}

// caller returns the context of a call by the person of a matter, if there is a credential for it.
func (m *people) caller(x *matter) context.Context {
	if x.owner() != "" {
		return m.by(x.owner())
	}
	if m.want(x.visit) != "" {
		m.rt.Skip("the token has expired")
	}
	return m.by(bearer(x.visit.Token))
}

func (m *people) matter() *matter {
	if len(m.matters) == 0 {
		m.rt.Skip("nobody wrote")
	}
	return m.matters[m.one(len(m.matters))]
}

func (m *people) say(*rapid.T) {
	x := m.matter()
	_, err := m.SendMessage(m.caller(x), &goodshipv1.SendMessageRequest{ConversationId: x.id, Text: "And?"})
	m.is("say", refusal(err), "")
	x.open = true
}

func (m *people) solve(*rapid.T) {
	x := m.matter()
	if !x.open {
		m.rt.Skip("it is solved")
	}
	_, err := m.ConfirmResolution(m.caller(x), &goodshipv1.ConfirmResolutionRequest{ConversationId: x.id})
	m.is("solve", refusal(err), "")
	x.open = false
}

// wantSignIn is how signing in is refused.
func (m *people) wantSignIn(v *visit, p person) string {
	want := m.want(v)
	if want == "" || want == credentialRevoked && v.as == p {
		return ""
	}
	return want + ofVisitor
}

func (m *people) signIn(*rapid.T) {
	v, p := m.visit(), m.customer()
	want := m.wantSignIn(v, p)
	m.is("sign in", m.signsIn(p, v.Token), want)
	if want == "" {
		v.as = p
	}
}

// signInAtOnce signs a visitor in twice together, as one customer or as two, of whom one wins.
func (m *people) signInAtOnce(*rapid.T) {
	v := m.visit()
	if m.want(v) != "" {
		m.rt.Skip("the session is over")
	}
	who := []person{m.customer(), m.customer()}
	got := make([]string, len(who))
	var calls sync.WaitGroup
	for i, p := range who {
		ctx := m.by(p)
		calls.Go(func() {
			_, err := m.SignInVisitor(ctx, &goodshipv1.SignInVisitorRequest{VisitorToken: v.Token})
			got[i] = refusal(err)
		})
	}
	calls.Wait()
	winner := slices.Index(got, "")
	if winner < 0 {
		m.rt.Fatalf("sign in at once: got %q, want one to succeed", got)
	}
	v.as = who[winner]
	m.is("the other", got[1-winner], m.wantSignIn(v, who[1-winner]))
}

// writeAndSignIn lets a visitor write, and the customer too, while the visitor signs in: whatever comes first, it is whole.
func (m *people) writeAndSignIn(*rapid.T) {
	v, p := m.visit(), m.customer()
	if m.want(v) != "" {
		m.rt.Skip("the session is over")
	}
	visitor, customer := m.by(bearer(v.Token)), m.by(p)
	var byVisitor, byCustomer *goodshipv1.Conversation
	var failed [3]string
	var calls sync.WaitGroup
	calls.Go(func() {
		conv, err := m.CreateConversation(visitor, &goodshipv1.CreateConversationRequest{Text: "Hello?"})
		byVisitor, failed[0] = conv, refusal(err)
	})
	calls.Go(func() {
		conv, err := m.CreateConversation(customer, &goodshipv1.CreateConversationRequest{Text: "Hello?"})
		byCustomer, failed[1] = conv, refusal(err)
	})
	calls.Go(func() {
		_, err := m.SignInVisitor(customer, &goodshipv1.SignInVisitorRequest{VisitorToken: v.Token})
		failed[2] = refusal(err)
	})
	calls.Wait()
	m.is("customer writes", failed[1], "")
	m.is("sign in", failed[2], "")
	if failed[0] != "" {
		m.is("visitor writes", failed[0], credentialRevoked)
	}
	for i, conv := range []*goodshipv1.Conversation{byVisitor, byCustomer} {
		if failed[i] == "" {
			m.opened(conv, nil, &matter{by: p})
		}
	}
	v.as = p
	// Which of the two was first is for the store to say.
	created := func(x *matter) time.Time { return m.head(x.id).Conversation.CreateTime.AsTime() }
	slices.SortFunc(m.matters, func(a, b *matter) int { return created(a).Compare(created(b)) })
}

func (m *people) renew(*rapid.T) {
	v := m.visit()
	want := ""
	if v.as != "" {
		want = credentialRevoked + ofRenewal
	}
	renewed, err := m.session(v.RenewalToken)
	m.is("renew", refusal(err), want)
	if err == nil {
		m.is("visitor", renewed.VisitorId, v.VisitorId)
		v.VisitorSession = renewed
	}
}

// check lists as everybody all that they see, page by page, and reads some of it, and some of what they do not.
func (m *people) check(*rapid.T) {
	for _, v := range m.visits {
		if m.want(v) == "" {
			m.sees(m.by(bearer(v.Token)), m.mine(v, ""), v.VisitorId)
		}
	}
	for _, p := range m.customers {
		m.sees(m.by(p), m.mine(nil, p), p.id())
	}
}

func (m *people) sees(ctx context.Context, matters []*matter, id string) {
	seen := m.pages(ctx, &goodshipv1.ListConversationsRequest{})
	m.is(id+" sees", list(slices.Sorted(slices.Values(seen))), list(ids(matters)))
	if len(matters) > 0 {
		m.is("agents see of "+id, list(m.pages(m.by(ada), &goodshipv1.ListConversationsRequest{CustomerId: id})), list(seen))
	}
	for range min(2, len(m.matters)) {
		want, x := "", m.matter()
		if !slices.Contains(matters, x) {
			want = "NotFound CONVERSATION_NOT_FOUND"
		}
		conv, err := m.GetConversation(ctx, &goodshipv1.GetConversationRequest{ConversationId: x.id})
		m.is(id+" reads", refusal(err), want)
		if err == nil {
			m.is("whose it is", conv.CustomerId+" "+m.reads(ada, x.id).CustomerId, id+" "+id)
		}
	}
}

func ids(matters []*matter) []string {
	var ids []string
	for _, x := range matters {
		ids = append(ids, x.id)
	}
	slices.Sort(ids)
	return ids
}

// pages lists in pages of one size, newest activity first.
func (m *people) pages(ctx context.Context, req *goodshipv1.ListConversationsRequest) []string {
	var ids []string
	var last time.Time
	req.PageSize = int32(m.one(3) + 1)
	for more := true; more; more = req.PageToken != "" {
		page, err := m.ListConversations(ctx, req)
		m.is("list", refusal(err), "")
		for _, c := range page.Conversations {
			if at := c.ActivityTime.AsTime(); len(ids) > 0 && at.After(last) {
				m.rt.Fatalf("list: got %s after an older one", c.Id)
			} else {
				last = at
			}
			ids = append(ids, c.Id)
		}
		req.PageToken = page.NextPageToken
		if len(ids) > 10*len(m.matters)+10 {
			m.rt.Fatalf("list: got no end: %v", fmt.Sprint(ids))
		}
	}
	return ids
}
