package right

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// TestApologies tells everyone affected by an incident, over a server that is killed again and again, and counts: exactly one
// apology and one credit for each.
func TestApologies(t *testing.T) {
	if *kills < 5 {
		t.Fatalf("-kills is %d: give at least 5", *kills)
	}
	t.Logf("-apologies %d -kills %d -seed %d", *apologies, *kills, *seed)
	m := newMortal(t, random("server"), "--apologies-per-second", "20000")
	o := &outage{mortal: m, rng: random("outage"), before: map[string]bool{}, web: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(o.web.CloseIdleConnections)
	begun := time.Now()
	o.declare()
	o.converse()
	o.add(max(2, *kills/5))
	o.send()
	o.goOn(*kills)
	t.Logf("%d kills in %v: all are told and credited", o.killed, time.Since(begun).Round(time.Second))
	o.count(func() facts { return o.gather(o.want) }, "by the API")
	o.server.Stop()
	w := look(t, o.server.Data)
	o.count(func() facts { return w.gather(o.want) }, "in the file")
	w.mustTellOfCredits(w.credits(map[string]*ledger{}))
}

// count judges facts, and the judge by facts that it must not take.
func (o *outage) count(gather func() facts, how string) {
	o.t.Helper()
	got := gather()
	got.before = o.before
	v := judge(o.want, got)
	if v != (verdict{}) {
		o.t.Errorf("%s: %+v", how, v)
		return
	}
	o.t.Logf("%s: %d apologies and %d credits, %v", how, len(got.said), len(got.credits), got.progress)
	mustBeNoticed(o.t, o.want, got, o.rng)
}

// send previews and sends the apology. The server is killed as soon as it is asked to send, and again when it has said yes.
func (o *outage) send() {
	o.t.Helper()
	preview := must(o.house, "", func(ctx context.Context) (*goodshipv1.PreviewApologyResponse, error) {
		return o.incidents().PreviewApology(ctx, &goodshipv1.PreviewApologyRequest{IncidentId: o.want.incident})
	})
	if int(preview.GetCount()) != len(o.early) || len(preview.GetSamples()) != min(5, len(o.early)) || mills(preview.GetTotal()) != int64(len(o.early))*mills(o.want.amount.GetMoney()) {
		o.t.Errorf("the preview is %v", preview)
	}
	off := func(ctx context.Context) (*goodshipv1.Incident, error) {
		return o.incidents().SendApology(ctx, &goodshipv1.SendApologyRequest{IncidentId: o.want.incident, PreviewToken: preview.GetPreviewToken(), RequestId: "send"})
	}
	var asking sync.WaitGroup
	asking.Go(func() { must(o.house, "", off) })
	o.after(time.Duration(o.rng.IntN(3000)) * time.Microsecond)
	o.strike()
	asking.Wait()
	o.strike()
	if got := must(o.house, "", off); got.GetSendTime() == nil {
		o.t.Errorf("sent again with the same request id it is %v", got)
	}
	if o.t.Failed() {
		o.t.FailNow()
	}
}

// after waits for a moment that a kill is to come at.
func (o *outage) after(d time.Duration) {
	select {
	case <-o.t.Context().Done():
	case <-time.After(d):
	}
}

// goOn kills the server until it was so often, while the apology goes out, customers react, and the late ones are added.
func (o *outage) goOn(kills int) {
	o.t.Helper()
	var at []int
	for range kills - o.killed {
		at = append(at, o.rng.IntN(len(o.early)))
	}
	slices.Sort(at)
	ctx, stop := context.WithCancel(o.t.Context())
	var busy, adding sync.WaitGroup
	busy.Go(func() { o.react(ctx) })
	adding.Go(o.cross)
	adding.Go(func() { o.addByREST(o.late, random("late"), func() {}) })
	for _, n := range at {
		o.awaitWritten(n)
		o.strike()
	}
	adding.Wait()
	o.awaitWritten(len(o.want.customers))
	stop()
	busy.Wait()
}

// awaitWritten waits until so many apologies are written.
func (o *outage) awaitWritten(n int) {
	o.t.Helper()
	for at, since := int32(0), time.Now(); ; o.rests() {
		p := o.progress(o.want.incident)
		if int(p.GetWritten()) >= n || o.t.Failed() {
			return
		}
		if p.GetWritten() != at {
			at, since = p.GetWritten(), time.Now()
		}
		if time.Since(since) > patience {
			o.t.Fatalf("nothing is written for %v: %v", patience, p)
		}
	}
}
