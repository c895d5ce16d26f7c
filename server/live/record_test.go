package live

import (
	"fmt"
	"hash/fnv"
	"slices"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// place is where an event is: its conversation, and its number in it as the audience counts.
type place struct {
	conversation string
	revision     int32
}

// entry is an event that was told, or is to be.
type entry struct {
	place
	kind protoreflect.Name
	// sum is of all that the event says, except the message in it.
	sum uint64
}

// entryOf takes an event, which it changes, to an entry and the message in it.
func entryOf(conversation string, e *goodshipv1.Event, customer bool) (entry, *goodshipv1.Message) {
	revision := e.Revision
	if customer {
		revision = e.PublicRevision
	}
	message := takeMessage(e)
	m := e.ProtoReflect()
	var kind protoreflect.Name
	if field := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind")); field != nil {
		kind = field.Name()
	}
	return entry{place{conversation, revision}, kind, sum(e)}, message
}

// takeMessage takes the message out of an event.
func takeMessage(e *goodshipv1.Event) (m *goodshipv1.Message) {
	switch k := e.Kind.(type) {
	case *goodshipv1.Event_MessageSent:
		m, k.MessageSent.Message = k.MessageSent.Message, nil
	case *goodshipv1.Event_MessageEdited:
		m, k.MessageEdited.Message = k.MessageEdited.Message, nil
	case *goodshipv1.Event_MessageRedacted:
		m, k.MessageRedacted.Message = k.MessageRedacted.Message, nil
	case *goodshipv1.Event_DeliveryReported:
		m, k.DeliveryReported.Message = k.DeliveryReported.Message, nil
	}
	return m
}

// sum is of all that a message says, fields that nobody knows among them.
func sum(m proto.Message) uint64 {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err) // it came from the wire
	}
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64()
}

// beginning is where a record begins, as far as the watcher knew.
type beginning struct {
	// after is the entry before it; zero if floor says it.
	after place
	// floor is how far each conversation had come: what is beyond must be told. If it is exact, only that, and all of a conversation
	// that is not there; else such a one was written in while it was read, and nothing is known of it.
	floor map[string]int32
	exact bool
}

// in returns how many entries of what can be told are before a record that begins there.
func (b beginning) in(want, got []entry) int {
	if b.after != (place{}) {
		return 1 + slices.IndexFunc(want, func(e entry) bool { return e.place == b.after })
	}
	first := slices.IndexFunc(want, func(e entry) bool {
		floor, known := b.floor[e.conversation]
		return (known || b.exact) && e.revision > floor
	})
	if first < 0 {
		first = len(want)
	}
	if b.exact || len(got) == 0 {
		return first
	}
	if i := slices.IndexFunc(want, func(e entry) bool { return e.place == got[0].place }); i >= 0 {
		return min(i, first)
	}
	return first
}

// verdict is what is wrong with a record; the zero value if nothing is.
type verdict struct {
	missing, twice, disordered, foreign, wrong int
	// first says where.
	first string
}

func (v *verdict) add(count *int, format string, args ...any) {
	*count++
	if v.first == "" {
		v.first = fmt.Sprintf(format, args...)
	}
}

func (v verdict) String() string {
	if v == (verdict{}) {
		return "as it should be"
	}
	return fmt.Sprintf("%d missing, %d twice, %d out of order, %d that are none of its, %d wrong; first: %s", v.missing, v.twice, v.disordered, v.foreign, v.wrong, v.first)
}

// judge holds a record against what was to be told: all of must, and more only as want goes on.
func judge(want []entry, must int, got []entry) (v verdict) {
	at := make(map[place]int, len(want))
	for i, e := range want {
		at[e.place] = i
	}
	told, next := make([]bool, len(want)), 0
	for n, e := range got {
		i, ok := at[e.place]
		switch {
		case !ok:
			v.add(&v.foreign, "entry %d, %v", n, e)
			continue
		case told[i]:
			v.add(&v.twice, "entry %d, %v", n, e)
			continue
		case i < next:
			v.add(&v.disordered, "entry %d, %v", n, e)
		}
		if want[i] != e {
			v.add(&v.wrong, "entry %d, %v, is to be %v", n, e, want[i])
		}
		told[i], next = true, max(next, i+1)
	}
	for i, e := range want[:max(must, next)] {
		if !told[i] {
			v.add(&v.missing, "%v, number %d of %d", e, i, len(want))
		}
	}
	return v
}
