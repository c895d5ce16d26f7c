package rpc

import (
	"sync"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc/codes"
)

// watches counts the watches that are open, so that nobody's take the place of all others: those of a workspace, and of these
// a customer's or visitor's own, over whichever connections and credentials. Agents and backends count for the workspace alone.
// Customers and visitors together leave half of the workspace's to them: anybody can be many visitors.
type watches struct {
	perWorkspace, perCaller int

	mu         sync.Mutex
	workspaces map[string]openWatches
	callers    map[principal]int
}

// openWatches is how many watches are open in a workspace, and how many of them are customers' and visitors'.
type openWatches struct{ all, customers int }

func newWatches(l Limits) *watches {
	return &watches{
		perWorkspace: l.WatchesPerWorkspace, perCaller: l.WatchesPerCaller,
		workspaces: map[string]openWatches{}, callers: map[principal]int{},
	}
}

// enter counts a watch until leave is called, once, or returns TOO_MANY_WATCHES.
func (w *watches) enter(c support.Caller) (leave func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	who := principalOf(c)
	now, customers := w.workspaces[c.Workspace], w.perWorkspace-w.perWorkspace/2
	switch {
	case w.callers[who] >= w.perCaller:
		return nil, tooManyWatches("caller", "caller watches", w.perCaller)
	case now.all >= w.perWorkspace:
		return nil, tooManyWatches("workspace", "workspace watches", w.perWorkspace)
	case who.side == customer && now.customers >= customers:
		return nil, tooManyWatches("workspace", "workspace's customers and visitors watch", customers)
	}
	workspace := c.Workspace // the caller is not kept
	w.add(workspace, who, 1)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.add(workspace, who, -1)
	}, nil
}

func (w *watches) add(workspace string, who principal, n int) {
	now := w.workspaces[workspace]
	now.all += n
	if who.side == customer {
		now.customers += n
		if w.callers[who] += n; w.callers[who] == 0 {
			delete(w.callers, who)
		}
	}
	if w.workspaces[workspace] = now; now.all == 0 {
		delete(w.workspaces, workspace)
	}
}

// tooManyWatches is the fault of those who watch as often as they may, by a limit.
func tooManyWatches(limit, who string, times int) *fault.Fault {
	return fault.New(codes.ResourceExhausted, goodshipv1.ErrorReason_ERROR_REASON_TOO_MANY_WATCHES,
		"The %s %d times at once already, which is as much as may be. End one; one watch can tell of all conversations.", who, times).
		With("limit", limit)
}
