package memory

import (
	"fmt"
	"maps"
	"slices"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/protobuf/proto"
)

// workspace is all that is kept of one workspace at one moment.
type workspace struct {
	// last is the time of the newest unit.
	last          time.Time
	record        []byte
	conversations map[string]*conversation
	// feed holds what follows the position pruned, in order.
	feed      []feedEntry
	pruned    int64
	agents    map[string][]byte       // by id
	customers map[string][]byte       // by key
	apiKeys   map[string][]byte       // by id
	once      map[[16]byte]remembered // by Once.Key

	credits    map[string][]byte            // by id
	ledgers    map[string]*ledger           // by customer's key
	spent      map[string]map[string][]byte // by agent's id, then day
	statistics map[string][]byte            // by day
	incidents  map[string][]byte            // by id
	affected   map[string]map[string][]byte // by incident's id, then customer's key
	endpoints  map[string][]byte            // by id
	progress   map[string][]byte            // by endpoint's id
	parked     map[string]map[string][]byte // by endpoint's id, then conversation's
	deliveries map[string]map[string][]byte // by endpoint's id, then their own
	erasures   map[string][]byte            // by id
	removals   map[string][]byte            // by id
}

// conversation is all that is kept of one conversation at one moment. It never changes once it is in a workspace.
type conversation struct {
	head []byte
	// records are the log.
	records []record
	// messages holds number n at n-1, and so do the others.
	messages, notes, resolutions [][]byte
	// marks are by agent id.
	marks map[string][]byte
}

// record is what one Append added.
type record struct {
	// stored is a Record without its message and note, whose numbers stand beside it; 0 if there is none.
	stored        []byte
	message, note int32
	// last is the revision of the last event.
	last int32
	// position is that in the workspace's feed.
	position int64
}

// feedEntry names a conversation and the last revision of a record of its log. The feed refers to it and does not copy it.
type feedEntry struct {
	conversation string
	revision     int32
	// removeTime and cause are of a removal, which has no revision.
	removeTime time.Time
	cause      goodshipv1.RemovalCause
}

// remembered is what a request id did. conversation is the one that the request named, if it named one.
type remembered struct {
	conversation string
	body         [32]byte
	receipt      []byte
	time         time.Time
	forever      bool
}

// copy returns a workspace whose maps and slices can be changed while this one stays what it is, but not the maps in its maps; of
// nil, an empty one.
func (w *workspace) copy() *workspace {
	if w == nil {
		w = &workspace{}
	}
	return &workspace{
		last:          w.last,
		record:        w.record,
		conversations: copyMap(w.conversations),
		feed:          slices.Clone(w.feed),
		pruned:        w.pruned,
		agents:        copyMap(w.agents),
		customers:     copyMap(w.customers),
		apiKeys:       copyMap(w.apiKeys),
		once:          copyMap(w.once),
		credits:       copyMap(w.credits),
		ledgers:       copyMap(w.ledgers),
		spent:         copyMap(w.spent),
		statistics:    copyMap(w.statistics),
		incidents:     copyMap(w.incidents),
		affected:      copyMap(w.affected),
		endpoints:     copyMap(w.endpoints),
		progress:      copyMap(w.progress),
		parked:        copyMap(w.parked),
		deliveries:    copyMap(w.deliveries),
		erasures:      copyMap(w.erasures),
		removals:      copyMap(w.removals),
	}
}

// copy returns a conversation whose maps and slices can be changed while this one stays what it is.
func (c *conversation) copy() *conversation {
	return &conversation{
		head:        c.head,
		records:     slices.Clone(c.records),
		messages:    slices.Clone(c.messages),
		notes:       slices.Clone(c.notes),
		resolutions: slices.Clone(c.resolutions),
		marks:       copyMap(c.marks),
	}
}

// copyMap is maps.Clone, but of nothing it makes a map that can be written to.
func copyMap[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return make(map[K]V)
	}
	return maps.Clone(m)
}

// conversation returns one, or ErrNotFound.
func (w *workspace) conversation(id string) (*conversation, error) {
	c := w.conversations[id]
	if c == nil {
		return nil, fmt.Errorf("%w: conversation %q", store.ErrNotFound, id)
	}
	return c, nil
}

// heads returns all heads that keep holds for, in no order.
func (w *workspace) heads(keep func(*storev1.Head) bool) ([]*storev1.Head, error) {
	var heads []*storev1.Head
	for _, c := range w.conversations {
		head, err := decode[storev1.Head](c.head)
		if err != nil {
			return nil, err
		}
		if keep(head) {
			heads = append(heads, head)
		}
	}
	return heads, nil
}

// resolved says whether a conversation is closed.
func resolved(h *storev1.Head) bool {
	return h.GetConversation().GetState() == goodshipv1.State_STATE_RESOLVED
}

// encode returns the stored form of a message. It fails where a text is not UTF-8.
func encode(m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("store/memory: encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return b, nil
}

// message is a pointer to a T that is a protobuf message.
type message[T any] interface {
	*T
	proto.Message
}

// decode returns a new message with a stored form.
func decode[T any, M message[T]](b []byte) (M, error) {
	m := M(new(T))
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", store.ErrDataLoss, m.ProtoReflect().Descriptor().Name(), err)
	}
	return m, nil
}

// decodeAll decodes each.
func decodeAll[T any, M message[T]](all [][]byte) ([]M, error) {
	var ms []M
	for _, b := range all {
		m, err := decode[T, M](b)
		if err != nil {
			return nil, err
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// find decodes the value of a key, or returns ErrNotFound.
func find[T any, M message[T]](in map[string][]byte, key string) (M, error) {
	b, ok := in[key]
	if !ok {
		return nil, fmt.Errorf("%w: %q", store.ErrNotFound, key)
	}
	return decode[T, M](b)
}

// numbered decodes the one with a number from 1, or returns ErrNotFound.
func numbered[T any, M message[T]](all [][]byte, number int32) (M, error) {
	if number < 1 || int(number) > len(all) {
		return nil, fmt.Errorf("%w: number %d of %d", store.ErrNotFound, number, len(all))
	}
	return decode[T, M](all[number-1])
}
