package support

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// maxPayload is how many bytes a payload has at most.
	maxPayload = 20_000 - 1
	// kindRemoved is the kind of the event by which a conversation's log ends.
	kindRemoved = "conversation_removed"
)

// errNothingToTell says that there is no such event any more: its conversation was removed.
var errNothingToTell = errors.New("support: the event is gone")

// errNotTold says that the endpoint is not told of such events, or not any more.
var errNotTold = errors.New("support: the endpoint is not told of the event")

// errTooLarge says that an event does not fit into a payload, whatever is cut.
var errTooLarge = errors.New("support: the event is too large")

// told names an event that an endpoint is told of.
type told struct {
	conversation string
	// revision is the event's; 0 of a removal.
	revision int32
	// removed is when the conversation was removed by the event, zero if it was not; and cause why.
	removed time.Time
	cause   goodshipv1.RemovalCause
}

// webhookID returns the id that an event, which happened at a time, has for an endpoint, whenever it is sent. It tells nothing: the
// endpoint's id is not known to who receives it. The time is in it since another event may have the revision after a restore.
func (e told) webhookID(endpoint string, at time.Time) string {
	sum := hashOf(endpoint, e.conversation, strconv.Itoa(int(e.revision)), strconv.FormatInt(at.UnixMicro(), 10))
	return "evt_" + strings.ToLower(base32hex.EncodeToString(sum[:16]))
}

// hashOf returns a hash of texts that have no zero byte.
func hashOf(texts ...string) [32]byte { return sha256.Sum256([]byte(strings.Join(texts, "\x00"))) }

// letter is an event as an endpoint is told of it.
type letter struct {
	kind string
	at   time.Time
	body []byte
	// traceparent is of the trace that made the event; empty if that was not sampled.
	traceparent string
}

// letter writes an event for an endpoint as it reads now. It returns errNothingToTell if it is gone, and errNotTold if the endpoint is
// not told of it, whatever it was told of before.
func (s *Service) letter(ctx context.Context, workspace string, to *goodshipv1.WebhookEndpoint, of told) (letter, error) {
	data, traceparent, err := s.webhookData(ctx, workspace, to, of)
	if err != nil {
		return letter{}, orMissing(err, errNothingToTell)
	}
	l := letter{kind: eventKind(data.Event), at: data.Event.CreateTime.AsTime(), traceparent: traceparent}
	l.body, err = payload(&goodshipv1.WebhookPayload{Type: l.kind, Timestamp: data.Event.CreateTime, Data: data})
	return l, err
}

func (s *Service) webhookData(ctx context.Context, workspace string, to *goodshipv1.WebhookEndpoint, of told) (*goodshipv1.WebhookData, string, error) {
	data := &goodshipv1.WebhookData{WorkspaceId: workspace, ConversationId: of.conversation}
	if !of.removed.IsZero() {
		if !wants(to, kindRemoved) {
			return nil, "", errNotTold
		}
		data.Event = removedEvent(of.removed, of.cause)
		return data, "", nil
	}
	record, event, err := s.eventAt(ctx, workspace, of)
	if err != nil {
		return nil, "", err
	}
	if !isTold(to, event) {
		return nil, "", errNotTold
	}
	head, err := s.store.Conversation(ctx, workspace, of.conversation)
	if err != nil {
		return nil, "", err
	}
	customer, err := s.customerByKey(ctx, workspace, head.CustomerKey)
	switch {
	case err == nil:
		data.CustomerId = customer.Customer.Id
	case !errors.Is(err, store.ErrNotFound):
		return nil, "", err
	}
	r := &reading{service: s, scope: scope{workspace: workspace}}
	if err := r.show(ctx, &item{}, of.conversation, record, event); err != nil {
		return nil, "", err
	}
	if data.Event = event; to.View == goodshipv1.WebhookView_WEBHOOK_VIEW_FULL {
		event.PublicRevision = 0
	} else {
		ForCustomer(event)
	}
	return data, record.Traceparent, nil
}

// eventAt reads an event, with the record that it is in.
func (s *Service) eventAt(ctx context.Context, workspace string, of told) (*storev1.Record, *goodshipv1.Event, error) {
	records, err := s.store.Records(ctx, workspace, of.conversation, of.revision-1, 1)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range records {
		if i := slices.IndexFunc(r.Events, func(e *goodshipv1.Event) bool { return e.Revision == of.revision }); i >= 0 {
			return r, r.Events[i], nil
		}
	}
	return nil, nil, store.ErrNotFound // a file that was rolled back
}

// eventKind returns the name of an event's kind, as in message_sent; empty if it is of none that this server knows.
func eventKind(e *goodshipv1.Event) string {
	m := e.ProtoReflect()
	if f := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind")); f != nil {
		return string(f.Name())
	}
	return ""
}

// isEventKind says whether there are events of a kind, and whether an endpoint with a view may be told of them.
func isEventKind(kind string, view goodshipv1.WebhookView) (known, shown bool) {
	event := (&goodshipv1.Event{}).ProtoReflect().Descriptor()
	f := event.Fields().ByName(protoreflect.Name(kind))
	known = f != nil && f.ContainingOneof() != nil
	shown = view == goodshipv1.WebhookView_WEBHOOK_VIEW_FULL || kind == kindRemoved || bool(customerSees[event.FullName()][protoreflect.Name(kind)])
	return known, known && shown
}

// payload returns a payload's JSON, cut where it is too long: the message's text first, then what is attached to it.
func payload(p *goodshipv1.WebhookPayload) ([]byte, error) {
	body, err := protojson.Marshal(p)
	if err != nil || len(body) <= maxPayload {
		return body, err
	}
	m := messageOf(p.Data.Event)
	if m == nil {
		return nil, errTooLarge
	}
	text := m.Text
	fits := func(bytes int) bool {
		m.Text = text[:bytes]
		for !utf8.ValidString(m.Text) { // in the middle of a letter
			m.Text = m.Text[:len(m.Text)-1]
		}
		body, err = protojson.Marshal(p)
		return err == nil && len(body) <= maxPayload
	}
	p.Data.TextTruncated = true
	for !fits(0) && len(m.Attachments) > 0 {
		m.Attachments = m.Attachments[:len(m.Attachments)-1]
	}
	if !fits(sort.Search(len(text), func(n int) bool { return !fits(n + 1) })) && err == nil {
		err = errTooLarge
	}
	return body, err
}

// messageOf returns the message that an event shows, nil if none.
func messageOf(e *goodshipv1.Event) *goodshipv1.Message {
	switch k := e.Kind.(type) {
	case *goodshipv1.Event_MessageSent:
		return k.MessageSent.Message
	case *goodshipv1.Event_MessageEdited:
		return k.MessageEdited.Message
	case *goodshipv1.Event_MessageRedacted:
		return k.MessageRedacted.Message
	case *goodshipv1.Event_DeliveryReported:
		return k.DeliveryReported.Message
	}
	return nil
}

// entryTime returns when what an entry of a feed tells happened; zero if its conversation was removed since.
func entryTime(e store.FeedEntry) time.Time {
	if e.Record == nil {
		return e.RemoveTime
	}
	return e.Record.Events[len(e.Record.Events)-1].CreateTime.AsTime()
}

// whyUntold says in words for a delivery log why an event cannot be told.
func whyUntold(err error) string {
	switch {
	case errors.Is(err, errTooLarge):
		return "the event does not fit into 20 KB"
	case errors.Is(err, store.ErrDataLoss):
		return "the event's record is damaged"
	}
	return "the event cannot be shown; the server's log says why"
}
