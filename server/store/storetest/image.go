package storetest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// image is everything that a full scan read from a store.
type image struct {
	// reads are what each read gave, in its order.
	reads map[string][]proto.Message
	// removed are the feed's entries of removals, and when those were.
	removed map[string]time.Time
	counts  counts
}

// counts are those of a Report.
type counts struct{ conversations, messages, events int64 }

func newImage() image {
	return image{reads: make(map[string][]proto.Message), removed: make(map[string]time.Time)}
}

// put notes what a read gave.
func put[M proto.Message](i image, read string, given ...M) {
	all := make([]proto.Message, len(given))
	for n, m := range given {
		all[n] = m
	}
	i.reads[read] = all
}

// diff returns what differs in another image, or nothing.
func (i image) diff(other image) string {
	reads := slices.AppendSeq(slices.Collect(maps.Keys(i.reads)), maps.Keys(other.reads))
	slices.Sort(reads)
	var diff strings.Builder
	for _, read := range slices.Compact(reads) {
		mine, theirs := i.reads[read], other.reads[read]
		for n := range max(len(mine), len(theirs)) {
			if n < len(mine) && n < len(theirs) && bytes.Equal(encoded(mine[n]), encoded(theirs[n])) {
				continue
			}
			if n < len(mine) {
				fmt.Fprintf(&diff, "- %s %d: %s\n", read, n, prototext.MarshalOptions{}.Format(mine[n]))
			}
			if n < len(theirs) {
				fmt.Fprintf(&diff, "+ %s %d: %s\n", read, n, prototext.MarshalOptions{}.Format(theirs[n]))
			}
		}
	}
	if !maps.EqualFunc(i.removed, other.removed, time.Time.Equal) {
		fmt.Fprintf(&diff, "- %v\n+ %v\n", i.removed, other.removed)
	}
	return diff.String()
}

// timeless returns an image that says of removals that they were, and not when: that is the engine's clock's affair.
func (i image) timeless() image {
	i.removed = maps.Clone(i.removed)
	for entry := range i.removed {
		i.removed[entry] = time.Time{}
	}
	return i
}

// encoded returns the one form that equal messages have. It compares faster than proto.Equal.
func encoded(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err) // it was decoded from this form
	}
	return b
}

// names says whether a text stands anywhere in what was read.
func (i image) names(text string) bool {
	for _, given := range i.reads {
		for _, m := range given {
			if bytes.Contains(encoded(m), []byte(text)) {
				return true
			}
		}
	}
	return false
}

// scribble changes every message that was read, as a caller may.
func (i image) scribble() {
	for _, given := range i.reads {
		for _, m := range given {
			scribble(m.ProtoReflect())
		}
	}
}
