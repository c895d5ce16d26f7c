// Package support is what the server does: the services of goodship.v1, one file a concept, over a store and the pure
// rules in support/rules.
//
// A method that changes a conversation is a unit of work (unit.go): it reads the conversation, lets the rules decide,
// appends what they decided, and answers with the object as it reads afterwards, so that a replayed request gets what is
// true now. A method that reads shows what the caller may see (view.go).
package support

import (
	"context"
	"sync"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/protobuf/proto"
)

// Service implements every service of goodship.v1. It knows no transport: it takes the caller from the context and
// expects requests that were validated against the proto. Its errors are faults, the store's, or the context's; Fault
// makes faults of the store's.
type Service struct {
	goodshipv1.UnimplementedConversationServiceServer
	goodshipv1.UnimplementedMessageServiceServer
	goodshipv1.UnimplementedResolutionServiceServer
	goodshipv1.UnimplementedDeskServiceServer
	goodshipv1.UnimplementedDirectoryServiceServer
	goodshipv1.UnimplementedAdminServiceServer
	goodshipv1.UnimplementedOperatorServiceServer

	store    store.Store
	now      func() time.Time
	presence *presence
	hours    sync.Map // by workspace, parsedHours: loading a time zone reads files
	verified verifiedTokens
	origins  origins
}

// Options are what a service may be given. The zero value is fit for use.
type Options struct {
	// Now tells the time by which credentials of others are judged: JWTs, and when API keys expire; time.Now if nil. The
	// store's clock may be ahead or behind for good, after a start with a wrong one; what the server does itself goes by it.
	Now func() time.Time
	// MeterProvider is told of waits, promises and the line; nothing is measured if nil.
	MeterProvider metric.MeterProvider
}

// New returns the services over a store. Every agent counts as present from now on until they are
// away.
func New(s store.Store, o Options) (*Service, error) {
	s, err := measure(s, o.MeterProvider)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{store: tracedStore{s}, now: o.Now, presence: newPresence(s.Now())}, nil
}

// Ready returns nil while calls are served, or why not.
func (s *Service) Ready() error { return s.store.Ready() }

// parsedHours are a workspace's opening hours as they were parsed last.
type parsedHours struct {
	of    *goodshipv1.OpeningHours
	hours rules.Hours
}

// openingHours returns a workspace's opening hours, parsed. They were checked when they were set.
func (s *Service) openingHours(w *goodshipv1.Workspace) rules.Hours {
	if w.OpeningHours == nil {
		return rules.Hours{}
	}
	if last, ok := s.hours.Load(w.Id); ok && proto.Equal(last.(parsedHours).of, w.OpeningHours) {
		return last.(parsedHours).hours
	}
	h, err := rules.ParseHours(w.OpeningHours)
	if err != nil {
		return rules.Hours{} // a time zone that this machine no longer knows: rather a promise too early than none
	}
	s.hours.Store(w.Id, parsedHours{w.OpeningHours, h})
	return h
}

// settings returns the settings of the caller's workspace.
func (s *Service) settings(ctx context.Context, workspace string) (*goodshipv1.Workspace, error) {
	w, err := s.store.Workspace(ctx, workspace)
	if err != nil {
		return nil, err
	}
	return w.Workspace, nil
}
