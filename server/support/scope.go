package support

import (
	"context"
	"errors"
	"strings"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// batchRecords is how many records are read at a time, and batchBytes how large what is made of them gets.
	batchRecords = 64
	batchBytes   = 256 << 10
)

// desk is how a conversation stood before and after a record, and so whose desk has to be told of it.
type desk struct{ before, after *storev1.Standing }

// read reads what follows a position of a scope, as it is now.
func (s *Service) read(ctx context.Context, of scope, from position) (batch, error) {
	b := &reading{service: s, scope: of, batch: batch{end: from}}
	if of.conversation != "" {
		err := b.records(ctx)
		return b.batch, err
	}
	var entries []store.FeedEntry
	var err error
	if of.customer != "" {
		entries, err = s.store.FeedOf(ctx, of.workspace, strings.Fields(of.keys), from.at, batchRecords)
	} else {
		entries, err = s.store.Feed(ctx, of.workspace, from.at, batchRecords)
	}
	if err != nil {
		return batch{}, err
	}
	b.complete = len(entries) < batchRecords
	for _, e := range entries {
		if err := b.entry(ctx, e); err != nil {
			return batch{}, err
		}
	}
	return b.batch, nil
}

// reading is a batch that is being read.
type reading struct {
	service *Service
	scope   scope
	batch
	bytes int
}

// full says that no more belongs into the batch, which something follows then.
func (r *reading) full() bool {
	if r.bytes <= batchBytes {
		return false
	}
	r.complete = false
	return true
}

// records reads the log of a conversation.
func (r *reading) records(ctx context.Context) error {
	records, err := r.service.store.Records(ctx, r.scope.workspace, r.scope.conversation, int32(r.end.at), batchRecords)
	if err != nil {
		return err
	}
	r.complete = len(records) < batchRecords
	for _, record := range records {
		for _, e := range record.Events {
			at := position{at: int64(e.Revision)}
			if at.compare(r.end) <= 0 {
				continue
			}
			if r.full() {
				return nil
			}
			if err := r.event(ctx, r.scope.conversation, record, e, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry adds an entry of the feed.
func (r *reading) entry(ctx context.Context, e store.FeedEntry) error {
	if e.Record == nil {
		return r.removed(ctx, e)
	}
	for i, event := range e.Record.Events {
		at := position{e.Position - 1, uint32(i + 1)}
		if i == len(e.Record.Events)-1 {
			at = position{at: e.Position}
		}
		if at.compare(r.end) <= 0 {
			continue
		}
		if r.full() {
			return nil
		}
		if err := r.event(ctx, e.ConversationID, e.Record, event, at); err != nil {
			return err
		}
	}
	return nil
}

// removed adds an entry by which a conversation was removed; of what happened in it before there is nothing to tell any more.
func (r *reading) removed(ctx context.Context, e store.FeedEntry) error {
	at := position{at: e.Position}
	switch {
	case e.RemovalCause == 0:
		r.end = at
		return nil
	case r.full():
		return nil
	}
	return r.event(ctx, e.ConversationID, &storev1.Record{}, removedEvent(e.RemoveTime, e.RemovalCause), at)
}

// removedEvent returns the event that tells that a conversation was removed. It is in no log, so that it has no revision.
func removedEvent(at time.Time, cause goodshipv1.RemovalCause) *goodshipv1.Event {
	return &goodshipv1.Event{
		CreateTime: timestamppb.New(at),
		Kind:       &goodshipv1.Event_ConversationRemoved{ConversationRemoved: &goodshipv1.ConversationRemoved{Cause: cause}},
	}
}

// event adds an event, if the audience sees it, as one that ends at a position.
func (r *reading) event(ctx context.Context, conversation string, record *storev1.Record, e *goodshipv1.Event, at position) error {
	r.end = at
	if r.scope.audience == customers && e.PublicRevision == 0 {
		return nil
	}
	i := item{at: at}
	switch err := r.show(ctx, &i, conversation, record, e); {
	case errors.Is(err, store.ErrNotFound) && r.scope.conversation == "": // it was removed meanwhile, and what follows tells so
		return nil
	case err != nil:
		return err
	}
	u := &goodshipv1.WatchUpdate{ConversationId: conversation, Update: &goodshipv1.WatchUpdate_Event{Event: e}}
	if r.scope.audience == customers {
		ForCustomer(u)
	} else {
		e.PublicRevision = 0
	}
	if r.scope.conversation == "" && r.scope.customer == "" {
		i.desk = &desk{record.Before, record.After}
		i.removes = e.GetConversationRemoved() != nil
	}
	u.Cursor = r.scope.seal(r.service.store.Sealer(), at)
	i.frame, i.bytes = NewFrame(u), proto.Size(u)
	r.bytes += i.bytes
	r.items = append(r.items, i)
	return nil
}

// show adds to an event the message that it is of, as that reads now.
func (r *reading) show(ctx context.Context, i *item, conversation string, record *storev1.Record, e *goodshipv1.Event) (err error) {
	switch k := e.Kind.(type) {
	case *goodshipv1.Event_MessageSent:
		i.message = k.MessageSent.Number
		if k.MessageSent.Message = record.Message; record.Message.GetNumber() != i.message {
			k.MessageSent.Message, err = r.message(ctx, conversation, i.message)
		}
	case *goodshipv1.Event_MessageEdited:
		i.message, i.rewrites = k.MessageEdited.Number, true
		k.MessageEdited.Message, err = r.message(ctx, conversation, i.message)
	case *goodshipv1.Event_MessageRedacted:
		i.message, i.rewrites = k.MessageRedacted.Number, true
		k.MessageRedacted.Message, err = r.message(ctx, conversation, i.message)
	case *goodshipv1.Event_DeliveryReported:
		i.message, i.rewrites = k.DeliveryReported.Number, true
		k.DeliveryReported.Message, err = r.message(ctx, conversation, i.message)
	}
	return err
}

func (r *reading) message(ctx context.Context, conversation string, number int32) (*goodshipv1.Message, error) {
	found, err := r.service.store.Messages(ctx, r.scope.workspace, conversation, store.Range{From: number, Limit: 1})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}
