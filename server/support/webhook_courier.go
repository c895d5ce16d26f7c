package support

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/webhook"
)

// courier carries events to webhook endpoints: along a route to each that is enabled (webhook_route.go), so that what one endpoint
// does is nothing to another. A workspace without endpoints costs nothing.
type courier struct {
	service *Service
	log     *slog.Logger
	sender  *webhook.Sender
	metrics *webhookMetrics
	// maxParked is the constant, unless a test set it.
	maxParked int
	// making is held while an endpoint is made, since how many there are is counted outside of the unit.
	making sync.Mutex

	mu sync.Mutex
	// routes are by workspace, then by endpoint.
	routes  map[string]map[string]*route
	running sync.WaitGroup
	// ctx is done when the courier is to end; nil before it started.
	ctx  context.Context
	stop func()
}

func newCourier(s *Service, o Options) *courier {
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	return &courier{service: s, log: log, sender: webhook.NewSender(o.Webhooks), maxParked: maxParked, routes: map[string]map[string]*route{}, stop: func() {}}
}

// start sets out on every route, until stop.
func (c *courier) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	unheard := c.service.store.Notify(c.hint)
	c.stop = func() {
		cancel()
		unheard()
		c.running.Wait()
		c.sender.Close()
	}
	c.running.Go(func() { c.setOut(ctx) })
}

// setOut sets out on the routes that are stored, once these can be read.
func (c *courier) setOut(ctx context.Context) {
	for told := false; ; told = true {
		err := contained(func() error { return c.setOutOn(ctx) })
		if err == nil || ctx.Err() != nil {
			return
		}
		if !told {
			c.log.Error("webhook endpoints cannot be read: nothing is sent to them until they can", "error", err)
		}
		again, stop := c.service.clock.Timer(asideFor)
		select {
		case <-again:
		case <-ctx.Done():
		}
		stop()
	}
}

// setOutOn sets out on the routes of all workspaces.
func (c *courier) setOutOn(ctx context.Context) error {
	workspaces, err := c.service.store.Workspaces(ctx)
	for _, w := range workspaces {
		endpoints, unread := c.service.store.WebhookEndpoints(ctx, w.Workspace.GetId())
		err = errors.Join(err, unread)
		for _, e := range endpoints {
			c.setOutTo(w.Workspace.Id, e.WebhookEndpoint)
		}
	}
	return err
}

// setOutTo sets out on the route to an endpoint, if it is enabled and not set out on.
func (c *courier) setOutTo(workspace string, e *goodshipv1.WebhookEndpoint) {
	c.mu.Lock()
	under := c.routes[workspace][e.Id] != nil
	c.mu.Unlock()
	if !under && e.State == goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED {
		c.changed(workspace, e.Id)
	}
}

// changed tells that an endpoint was made or is another: its route begins, or begins again from what is stored.
func (c *courier) changed(workspace, endpoint string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil || c.ctx.Err() != nil {
		return
	}
	if r := c.routes[workspace][endpoint]; r != nil {
		r.changed.Store(true)
		r.rouse()
		return
	}
	r := newRoute(c, workspace, endpoint)
	if c.routes[workspace] == nil {
		c.routes[workspace] = map[string]*route{}
	}
	c.routes[workspace][endpoint] = r
	c.running.Go(func() { r.run(c.ctx) })
}

// leave ends a route, unless its endpoint changed meanwhile.
func (c *courier) leave(r *route) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.changed.Load() {
		return false
	}
	if delete(c.routes[r.workspace], r.id); len(c.routes[r.workspace]) == 0 {
		delete(c.routes, r.workspace)
	}
	return true
}

// hint takes a hint of the store's.
func (c *courier) hint(h store.Hint) {
	if h.ConversationID == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.routes[h.Workspace] {
		r.grown.Store(true)
		r.rouse()
	}
}

// down returns how many endpoints are down, by workspace; 0 of those that have some and none is.
func (c *courier) down() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := map[string]int64{}
	for workspace, routes := range c.routes {
		count[workspace] = 0
		for _, r := range routes {
			if r.down.Load() {
				count[workspace]++
			}
		}
	}
	return count
}

// position returns how far the route to an endpoint has come, or what is stored of that if there is none.
func (c *courier) position(workspace, endpoint string, stored int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.routes[workspace][endpoint]; r != nil {
		return max(r.reached.Load(), stored)
	}
	return stored
}
