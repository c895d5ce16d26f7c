// Command webhook is a backend that is told what happens: it prints each event that arrives at
// http://127.0.0.1:8070/goodship and is signed with the endpoint's secret. docs/webhooks.md runs it.
//
//	SECRET=whsec_… go run ./examples/webhook
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/goodship/goodship/client"
)

func main() {
	secret := os.Getenv("SECRET")
	if secret == "" {
		log.Fatal("the variable SECRET is empty: it is the endpoint's, which begins with whsec_")
	}
	mux := http.NewServeMux()
	mux.Handle("POST /goodship", &receiver{secret: secret, log: log.New(os.Stdout, "", 0), seen: map[string]bool{}})
	server := &http.Server{Addr: "127.0.0.1:8070", Handler: mux, ReadTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// receiver takes events. A product keeps the ids of those it acted on where it keeps what it did, not in memory.
type receiver struct {
	secret string
	log    *log.Logger

	mu   sync.Mutex
	seen map[string]bool
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	event, err := client.ReceiveWebhook(req, r.secret)
	if err != nil {
		http.Error(w, "not a webhook", http.StatusUnauthorized)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.seen[event.ID] {
		r.seen[event.ID] = true
		r.log.Println(event.Type, event.Data.ConversationId, event.Data.CustomerId, event.Data.Event.GetMessageSent().GetMessage().GetText())
	}
	w.WriteHeader(http.StatusNoContent)
}
