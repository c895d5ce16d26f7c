package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/protobuf/encoding/protojson"
)

// maxWebhook is how many bytes of a webhook are read. A payload has less than 20 KB.
const maxWebhook = 64 << 10

// ErrNotSigned says that a request is no webhook that was signed with one of the secrets within the last five minutes. Answer 401.
var ErrNotSigned = errors.New("client: the webhook is not signed with this secret, or was on its way for too long")

// Webhook is what a webhook endpoint was told.
type Webhook struct {
	// ID is the same whenever the same event is sent to the endpoint. An event comes at least once: who must not act on it twice keeps
	// the ids of those that it acted on.
	ID string
	*goodshipv1.WebhookPayload
}

// ReceiveWebhook verifies a request to a webhook endpoint with the endpoint's secret, or with any of several while they are exchanged,
// and decodes it. A status from 200 to 299 tells the server that the event arrived; with any other it comes again later, and what
// happens in its conversation waits behind it. So answer when the event is in safe hands, and do what takes long after that.
//
//	http.HandleFunc("POST /goodship", func(w http.ResponseWriter, r *http.Request) {
//		event, err := client.ReceiveWebhook(r, secret)
//		if err != nil {
//			http.Error(w, "not a webhook", http.StatusUnauthorized)
//			return
//		}
//		…
//	})
//
// It reads the request's body. Fields and kinds of events that this version does not know are left out: an event of such a kind has
// a Type and no kind.
func ReceiveWebhook(r *http.Request, secrets ...string) (*Webhook, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxWebhook+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: the webhook was not sent to its end: %w", err)
	case len(body) > maxWebhook:
		return nil, ErrNotSigned
	}
	if err := verify(r.Header, body, secrets); err != nil {
		return nil, err
	}
	received := &Webhook{ID: r.Header.Get(standardwebhooks.HeaderWebhookID), WebhookPayload: &goodshipv1.WebhookPayload{}}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, received.WebhookPayload); err != nil {
		return nil, fmt.Errorf("client: the webhook is signed, and holds nothing that this version of the client can read: %w", err)
	}
	return received, nil
}

// verify returns nil if a body was signed with one of the secrets.
func verify(h http.Header, body []byte, secrets []string) error {
	for _, secret := range secrets {
		key, err := standardwebhooks.NewWebhook(secret)
		if err != nil || secret == "" {
			return errors.New("client: a webhook's secret is whsec_ and base64, as CreateWebhookEndpoint shows it")
		}
		if key.Verify(body, h) == nil {
			return nil
		}
	}
	return ErrNotSigned
}
