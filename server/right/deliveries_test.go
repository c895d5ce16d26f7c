package right

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// TestDeliveries kills the server each time that the receiver of its webhooks has taken an event and not yet said so. Every event
// comes, in order, the one that it knew nothing of once more.
func TestDeliveries(t *testing.T) {
	t.Logf("-seed %d", *seed)
	const strikes, talkers, words = 5, 8, 40
	m := newMortal(t, random("server of deliveries"), "--webhook-http", "--webhook-networks", "127.0.0.0/8")
	hook, at := newReceiver(t), moments(random("deliveries"), strikes, talkers*words)
	strike := make(chan struct{}, strikes)
	hook.taken = func(r *http.Request, n int) {
		if at[int64(n)] {
			strike <- struct{}{}
			<-r.Context().Done() // who is dead hears nothing
		}
	}
	hook.subscribe(m.house)
	var killer sync.WaitGroup
	killer.Go(func() {
		for range strike {
			m.strike()
		}
	})
	var mu sync.Mutex
	all := map[string]string{}
	each(talkers, func(i int) {
		customer := fmt.Sprintf("customer-%d", i)
		c := m.open(customer, "open").GetId()
		mu.Lock()
		all[c] = customer
		mu.Unlock()
		for n := range words {
			must(m.house, "customer/"+customer, func(ctx context.Context) (any, error) {
				return m.messages().SendMessage(ctx, &goodshipv1.SendMessageRequest{ConversationId: c, Text: "Ahoy", RequestId: fmt.Sprint(n)})
			})
		}
	})
	hook.mustHaveAll(m.house, all)
	close(strike)
	killer.Wait()
	if m.killed != strikes || hook.again < strikes {
		t.Errorf("%d kills, %d events came again", m.killed, hook.again)
	}
	t.Logf("%d kills, %s", m.killed, hook)
}
