package support

import (
	"errors"
	"slices"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
)

// exportKind is what is told of a conversation, in this order.
type exportKind byte

const (
	exportHead exportKind = iota
	exportEvents
	exportMessages
	exportNotes
	exportResolutions
	exportKinds
)

// conversations tells each conversation, oldest first, with what belongs to it. One that was removed meanwhile is left out.
func (e *export) conversations() error {
	ids, err := e.conversationIDs()
	if err != nil {
		return err
	}
	from := e.at
	for _, id := range ids {
		if id < from.id {
			continue
		}
		if id > from.id {
			e.at = exportPlace{part: exportConversations, count: e.at.count, id: id}
		}
		if err := e.look(); err != nil {
			return err
		}
		if err := e.conversation(id); err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, noConversation()) {
			return err
		}
	}
	return nil
}

// conversationIDs returns the ids of the person's conversations, in order. A list leaves out what moves in it while it is read: what
// moved is looked for again, until nothing did.
func (e *export) conversationIDs() ([]string, error) {
	known := map[string]bool{}
	q := store.Query{CustomerKeys: e.keys}
	for count := -1; len(known) > count; {
		count = len(known)
		begun := e.service.store.Now()
		for after, more := (*store.Position)(nil), true; more; more = after != nil {
			heads, next, err := e.service.store.List(e.ctx, e.caller.Workspace, q, after, exportPage)
			if err != nil {
				return nil, err
			}
			for _, h := range heads {
				known[h.Conversation.Id] = true
			}
			after = next
		}
		q.ActiveFrom = begun.Add(-time.Second)
	}
	ids := make([]string, 0, len(known))
	for id := range known {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

// conversation tells a conversation, from the place on if that is in it.
func (e *export) conversation(id string) error {
	lists := [exportKinds]func(id string, after int32) ([]*goodshipv1.ExportCustomerResponse, int32, error){
		e.head, e.events, e.messages, e.notes, e.resolutions,
	}
	for kind := e.at.kind; kind < exportKinds; kind++ {
		after := int32(0)
		if e.at.kind == kind {
			after = e.at.number
		}
		for {
			items, first, err := lists[kind](id, after)
			if err != nil {
				return err
			}
			if len(items) == 0 {
				break
			}
			for i, item := range items {
				after = first + int32(i)
				if err := e.tell(item, exportPlace{part: exportConversations, kind: kind, number: after, id: id}); err != nil {
					return err
				}
			}
			if err := e.look(); err != nil {
				return err
			}
		}
	}
	return nil
}

// head returns the conversation as it stands, as the one item of its kind. It and its kin return items whose numbers follow one
// another, and that of the first; none if there are no more.
func (e *export) head(id string, after int32) ([]*goodshipv1.ExportCustomerResponse, int32, error) {
	if after > 0 {
		return nil, 0, nil
	}
	conv, err := e.service.GetConversation(WithCaller(e.ctx, e.caller), &goodshipv1.GetConversationRequest{ConversationId: id})
	if err != nil {
		return nil, 0, err
	}
	conv.WatchCursor = ""
	return []*goodshipv1.ExportCustomerResponse{{Item: &goodshipv1.ExportCustomerResponse_Conversation{Conversation: conv}}}, 1, nil
}

func (e *export) events(id string, after int32) ([]*goodshipv1.ExportCustomerResponse, int32, error) {
	records, err := e.service.store.Records(e.ctx, e.caller.Workspace, id, after, exportPage)
	var items []*goodshipv1.ExportCustomerResponse
	for _, r := range records {
		for _, event := range r.Events {
			if event.Revision > after {
				event.PublicRevision = 0
				items = append(items, &goodshipv1.ExportCustomerResponse{Item: &goodshipv1.ExportCustomerResponse_Event{Event: event}})
			}
		}
	}
	return items, after + 1, err
}

func (e *export) messages(id string, after int32) ([]*goodshipv1.ExportCustomerResponse, int32, error) {
	found, err := e.service.store.Messages(e.ctx, e.caller.Workspace, id, store.Range{From: after + 1, Limit: exportPage})
	return itemsOf(found, func(item *goodshipv1.ExportCustomerResponse, m *goodshipv1.Message) {
		item.Item = &goodshipv1.ExportCustomerResponse_Message{Message: m}
	}), after + 1, err
}

func (e *export) notes(id string, after int32) ([]*goodshipv1.ExportCustomerResponse, int32, error) {
	found, err := e.service.store.Notes(e.ctx, e.caller.Workspace, id, store.Range{From: after + 1, Limit: exportPage})
	return itemsOf(found, func(item *goodshipv1.ExportCustomerResponse, n *goodshipv1.Note) {
		item.Item = &goodshipv1.ExportCustomerResponse_Note{Note: n}
	}), after + 1, err
}

func (e *export) resolutions(id string, after int32) ([]*goodshipv1.ExportCustomerResponse, int32, error) {
	found, err := e.service.store.Resolutions(e.ctx, e.caller.Workspace, id, store.Range{From: after + 1, Limit: exportPage})
	return itemsOf(found, func(item *goodshipv1.ExportCustomerResponse, r *goodshipv1.Resolution) {
		item.Item = &goodshipv1.ExportCustomerResponse_Resolution{Resolution: r}
	}), after + 1, err
}

// itemsOf makes items of things.
func itemsOf[M any](things []M, put func(*goodshipv1.ExportCustomerResponse, M)) []*goodshipv1.ExportCustomerResponse {
	items := make([]*goodshipv1.ExportCustomerResponse, len(things))
	for i, thing := range things {
		items[i] = &goodshipv1.ExportCustomerResponse{}
		put(items[i], thing)
	}
	return items
}
