// Package support is what the server does: the services of goodship.v1, one file a concept, over a store and the pure
// rules in support/rules.
//
// A method that changes a conversation is a unit of work (unit.go): it reads the conversation, lets the rules decide,
// appends what they decided, and answers with the object as it reads afterwards, so that a replayed request gets what is
// true now. A method that reads shows what the caller may see (view.go).
package support

import (
	"context"
	"log/slog"
	"sync"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/support/rules"
	"github.com/goodship/goodship/server/webhook"
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
	goodshipv1.UnimplementedCreditServiceServer
	goodshipv1.UnimplementedIncidentServiceServer
	goodshipv1.UnimplementedDeskServiceServer
	goodshipv1.UnimplementedDirectoryServiceServer
	goodshipv1.UnimplementedAdminServiceServer
	goodshipv1.UnimplementedInsightServiceServer
	goodshipv1.UnimplementedOperatorServiceServer

	store    store.Store
	clock    Clock
	now      func() time.Time
	presence *presence
	hours    sync.Map // by workspace, parsedHours: loading a time zone reads files
	zones    sync.Map // by the name of a time zone, *time.Location
	waits    sync.Map // by workspace, *pastWaits
	lines    sync.Map // by workspace, *countedLine
	verified verifiedTokens
	origins  origins
	keeper   *timekeeper
	hub      *hub
	// apologist writes the apologies of incidents.
	apologist *apologist
	streams   *streamMetrics
	// courier carries events to webhook endpoints, as webhooks allow.
	courier  *courier
	webhooks webhook.Options
	// deafen ends the hub's hearing of the store.
	deafen func()
}

// Options are what a service may be given. The zero value is fit for use.
type Options struct {
	// Clock tells the time by which credentials of others are judged: JWTs, and when API keys expire; and it wakes the server
	// when something is due. The machine's if nil. The store's times, which what the server does itself goes by, must come from
	// the same; they may be ahead or behind for good, after a start with a wrong one.
	Clock Clock
	// Log is told what an operator should know; slog.Default() if nil.
	Log *slog.Logger
	// OverduePerSecond is how many conversations a second time acts on, beside the live calls, of those that fell due while
	// nobody served; 500 if 0.
	OverduePerSecond int
	// ApologiesPerSecond is how many apologies of incidents are written a second, beside the live calls; 500 if 0.
	ApologiesPerSecond int
	// Webhooks say what webhook endpoints may be.
	Webhooks webhook.Options
	// MeterProvider is told of waits, promises and the line; nothing is measured if nil.
	MeterProvider metric.MeterProvider
}

// New returns the services over a store. Every agent counts as present from now on until they are away, and once more from Start.
func New(s store.Store, o Options) (*Service, error) {
	s, err := measure(s, o.MeterProvider)
	if err != nil {
		return nil, err
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	svc := &Service{store: tracedStore{s}, clock: o.Clock, now: o.Clock.Now, presence: newPresence(s.Now())}
	if svc.streams, err = measureStreams(o.MeterProvider); err != nil {
		return nil, err
	}
	svc.keeper = newTimekeeper(svc, o.Log, o.OverduePerSecond)
	svc.apologist = newApologist(svc, o.Log, o.ApologiesPerSecond)
	svc.webhooks, svc.courier = o.Webhooks, newCourier(svc, o)
	if svc.courier.metrics, err = measureWebhooks(o.MeterProvider, svc.courier.down); err != nil {
		return nil, err
	}
	svc.hub = newHub(svc.read)
	svc.deafen = s.Notify(svc.hub.hint)
	return svc, nil
}

// Start begins what the service does by itself, until Close. It returns when what fell due while nobody served has been done,
// as far as that is not too much; only then calls are to be let in.
func (s *Service) Start(ctx context.Context) error {
	if err := s.keeper.start(ctx); err != nil {
		return err
	}
	s.courier.start(ctx)
	s.apologist.start()
	return nil
}

// Drain ends every watch, each with its cursor, and lets no more in.
func (s *Service) Drain() { s.hub.drain() }

// Close ends what Start began, and every watch, and waits for them.
func (s *Service) Close() {
	s.courier.stop()
	s.apologist.stop()
	s.keeper.stop()
	s.hub.drain()
	s.hub.running.Wait()
	s.deafen()
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
