package support

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A visitor is a customer under an id that the server made and that only a session's tokens speak for. Nothing is kept of a
// session until the visitor writes.
//
// Who signs in stays two records: the visitor's names the customer's, and the customer's lists the keys of its visitors. So
// no conversation is touched, and all of them are the customer's with one unit. A record that names another stands for
// it wherever somebody is looked up (person), and one hop is enough, since only visitors sign in, and only as customers.

const (
	visitorPrefix = "visitor_"
	// renewalAge is how long a session can be renewed.
	renewalAge = 30 * 24 * time.Hour
	// maxVisitors is how many visitors who wrote may sign in as one customer.
	maxVisitors = 100
)

// visitorID is what the server calls visitors. A product names nobody so.
var visitorID = regexp.MustCompile(`^` + visitorPrefix + `[0-9a-v]{26}$`)

// CreateVisitorSession begins a visitor's session, or goes on with one. It keeps nothing.
func (s *Service) CreateVisitorSession(ctx context.Context, req *goodshipv1.CreateVisitorSessionRequest) (*goodshipv1.VisitorSession, error) {
	c, now := callerFrom(ctx), s.store.Now()
	// All tokens of a session say when it began: what revokes them while they are renewed revokes the new ones too.
	session := &storev1.Token{
		Caller: goodshipv1.Caller_CALLER_VISITOR, WorkspaceId: c.Workspace, Subject: newID(visitorPrefix), IssueTime: timestamppb.New(now),
	}
	if req.RenewalToken != "" {
		var err error
		if session, err = s.renewable(ctx, c.Workspace, req.RenewalToken); err != nil {
			return nil, inField("renewal_token", err)
		}
	}
	reply := &goodshipv1.VisitorSession{
		VisitorId:         session.Subject,
		ExpireTime:        timestamppb.New(now.Add(customerTokenAge)),
		RenewalExpireTime: timestamppb.New(now.Add(renewalAge)),
	}
	session.Renews, session.ExpireTime = false, reply.ExpireTime
	reply.Token = s.sealToken(tokenPrefix, session)
	session.Renews, session.ExpireTime = true, reply.RenewalExpireTime
	reply.RenewalToken = s.sealToken(renewalPrefix, session)
	return reply, nil
}

// renewable opens the renewal token of a session that is not over.
func (s *Service) renewable(ctx context.Context, workspace, token string) (*storev1.Token, error) {
	session, err := s.openSession(ctx, workspace, renewalPrefix, token)
	if err != nil {
		return nil, err
	}
	visitor, err := s.store.Customer(ctx, workspace, session.Subject)
	if errors.Is(err, store.ErrNotFound) {
		return session, nil
	}
	if err == nil && over(session, visitor) {
		err = sessionOver()
	}
	return session, err
}

// openSession opens a token of a visitor's session in a workspace that has not expired.
func (s *Service) openSession(ctx context.Context, workspace, prefix, token string) (*storev1.Token, error) {
	session, err := s.openToken(ctx, prefix, token)
	if err != nil {
		return nil, err
	}
	if session.Caller != goodshipv1.Caller_CALLER_VISITOR || session.WorkspaceId != workspace || session.Renews != (prefix == renewalPrefix) {
		return nil, badCredential("The token is not of a visitor's session in this workspace. Begin one with CreateVisitorSession.")
	}
	return session, nil
}

// over reports whether a session is: the visitor signed in, or its tokens were revoked.
func over(session *storev1.Token, visitor *storev1.CustomerRecord) bool {
	return visitor.SignedInKey != "" || session.IssueTime.AsTime().Before(visitor.TokenNotBeforeTime.AsTime())
}

// inField returns the fault of a credential in a field of the request, which is not to be taken for the call's own.
func inField(name string, err error) error {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f.With("field", name)
	}
	return err
}

func sessionOver() error {
	return revokedCredential("The visitor's session is over: the visitor signed in, or its tokens were revoked. Begin another with CreateVisitorSession.")
}

// SignInVisitor makes a visitor's conversations the calling customer's and ends the session.
func (s *Service) SignInVisitor(ctx context.Context, req *goodshipv1.SignInVisitorRequest) (*goodshipv1.SignInVisitorResponse, error) {
	c := callerFrom(ctx)
	if visitorID.MatchString(c.ID) { // for whom an API key acts
		return nil, fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_CALLER_NOT_ALLOWED,
			"A visitor signs in as a customer, not as a visitor. Call for the customer.").With("caller", "VISITOR").With("allowed", "CUSTOMER")
	}
	session, err := s.openSession(ctx, c.Workspace, tokenPrefix, req.VisitorToken)
	if err != nil {
		return nil, inField("visitor_token", err)
	}
	_, err = s.update(ctx, c, store.Once{}, func(tx store.Tx, c Caller) (*storev1.Receipt, error) { return nil, signIn(tx, session, c) })
	if err != nil {
		return nil, err
	}
	return see(c, &goodshipv1.SignInVisitorResponse{VisitorId: session.Subject}), nil
}

// signIn ends a visitor's session by the visitor being a customer from now on.
func signIn(tx store.Tx, session *storev1.Token, c Caller) error {
	if err := checkAPIKey(tx, session.ApiKeyId); err != nil {
		return inField("visitor_token", err)
	}
	customer, err := knownCustomer(tx, c.ID)
	if err != nil {
		return err
	}
	if customer.ErasureId != "" {
		return noCustomer(c.ID) // as good as erased: who the visitor was is not to go with them
	}
	visitor, err := tx.Customer(session.Subject)
	isNew := errors.Is(err, store.ErrNotFound)
	if isNew {
		visitor, err = knownCustomer(tx, session.Subject)
	}
	switch {
	case err != nil:
		return err
	case visitor.SignedInKey == customer.Key:
		return nil
	case over(session, visitor):
		return inField("visitor_token", sessionOver())
	}
	if !isNew { // else there is nothing to take over
		if err := takeOver(tx, customer, visitor); err != nil {
			return err
		}
	}
	visitor.SignedInKey, visitor.TokenNotBeforeTime = customer.Key, timestamppb.New(tx.Now())
	return tx.PutCustomer(visitor)
}

// takeOver makes what is a visitor's the customer's: the conversations, the unanswered outreach if the customer has none, and
// of two blocks the one that lasts longer.
func takeOver(tx store.Tx, customer, visitor *storev1.CustomerRecord) error {
	if len(customer.VisitorKeys) >= maxVisitors {
		return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_LIMIT_REACHED,
			"At most %d visitors who wrote sign in as one customer. The visitor's session goes on as it is.", maxVisitors).With("limit", strconv.Itoa(maxVisitors))
	}
	customer.VisitorKeys = append(customer.VisitorKeys, visitor.Key)
	if b := visitor.Customer.Block; blocks(b, tx.Now()) && outlasts(b, customer.Customer.Block) {
		customer.Customer.Block, customer.Customer.UpdateTime = b, timestamppb.New(tx.Now())
		customer.Version++
	}
	unanswered, err := unansweredOutreach(tx, customer)
	if err != nil {
		return err
	}
	if unanswered == "" {
		if customer.OutreachConversationId, err = unansweredOutreach(tx, visitor); err != nil {
			return err
		}
	}
	return tx.PutCustomer(customer)
}

// blocks reports whether a block, if there is one, keeps a customer from writing.
func blocks(b *goodshipv1.Block, now time.Time) bool {
	return b != nil && (b.UntilTime == nil || b.UntilTime.AsTime().After(now))
}

// outlasts reports whether a block ends after another, if there is another. One without an end ends last.
func outlasts(b, other *goodshipv1.Block) bool {
	return other == nil || other.UntilTime != nil && blocks(b, other.UntilTime.AsTime())
}

// person returns the record of who a customer is, as one was looked up: of a visitor who signed in, the customer's, unless that was
// erased.
func person(r *storev1.CustomerRecord, err error, byKey func(string) (*storev1.CustomerRecord, error)) (*storev1.CustomerRecord, error) {
	if err != nil || r.SignedInKey == "" {
		return r, err
	}
	customer, err := byKey(r.SignedInKey)
	if errors.Is(err, store.ErrNotFound) {
		return r, nil
	}
	return customer, err
}

// customerByID returns a customer by the id of theirs, or of a visitor of theirs; or store.ErrNotFound.
func (s *Service) customerByID(ctx context.Context, workspace, id string) (*storev1.CustomerRecord, error) {
	r, err := s.store.Customer(ctx, workspace, id)
	return person(r, err, s.underKey(ctx, workspace))
}

// customerByKey is customerByID for a conversation's key.
func (s *Service) customerByKey(ctx context.Context, workspace, key string) (*storev1.CustomerRecord, error) {
	r, err := s.store.CustomerByKey(ctx, workspace, key)
	return person(r, err, s.underKey(ctx, workspace))
}

// underKey returns what reads the record under a key, for person.
func (s *Service) underKey(ctx context.Context, workspace string) func(string) (*storev1.CustomerRecord, error) {
	return func(key string) (*storev1.CustomerRecord, error) { return s.store.CustomerByKey(ctx, workspace, key) }
}

// customerIn is customerByID in a unit.
func customerIn(tx store.Tx, id string) (*storev1.CustomerRecord, error) {
	r, err := tx.Customer(id)
	return person(r, err, tx.CustomerByKey)
}

// customerUnder is customerByKey in a unit.
func customerUnder(tx store.Tx, key string) (*storev1.CustomerRecord, error) {
	r, err := tx.CustomerByKey(key)
	return person(r, err, tx.CustomerByKey)
}

// keysOf returns the keys whose conversations are a customer's, the own one first.
func keysOf(r *storev1.CustomerRecord) []string { return append([]string{r.Key}, r.VisitorKeys...) }

// newestUnresolved returns the newest conversation of a customer's that is open, by create_time, then id; empty if there is none.
func newestUnresolved(tx store.Tx, r *storev1.CustomerRecord) (string, error) {
	if len(r.VisitorKeys) == 0 {
		return tx.NewestUnresolved(r.Key)
	}
	var open []*goodshipv1.Conversation
	for _, key := range keysOf(r) {
		id, err := tx.NewestUnresolved(key)
		if err != nil {
			return "", err
		}
		if id == "" {
			continue
		}
		head, err := tx.Conversation(id)
		if err != nil {
			return "", err
		}
		open = append(open, head.Conversation)
	}
	if len(open) == 0 {
		return "", nil
	}
	return slices.MaxFunc(open, func(a, b *goodshipv1.Conversation) int {
		return cmp.Or(a.CreateTime.AsTime().Compare(b.CreateTime.AsTime()), cmp.Compare(a.Id, b.Id))
	}).Id, nil
}
