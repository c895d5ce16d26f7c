package live

import (
	"hash/fnv"
	"sync"
	"sync/atomic"
)

// ledger is what was acknowledged to writers.
type ledger struct {
	clock atomic.Int64

	mu       sync.Mutex
	messages map[numbered]*words
	notes    map[numbered]*words
	// acked and refused count how calls ended, by their names.
	acked, refused map[string]int
}

// numbered is a message or note.
type numbered struct {
	conversation string
	number       int32
}

// words are what a message or note says.
type words struct {
	text string
	// gone is when its removal was acknowledged, by the ledger's clock; 0 if it was not.
	gone int64
}

// now returns a moment that is after all before it.
func (l *ledger) now() int64 { return l.clock.Add(1) }

func (l *ledger) said(m numbered, text string)  { l.set(&l.messages, m, text) }
func (l *ledger) noted(n numbered, text string) { l.set(&l.notes, n, text) }

// set takes down what something says, unless it has been removed.
func (l *ledger) set(in *map[numbered]*words, of numbered, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if *in == nil {
		*in = map[numbered]*words{}
	}
	w := (*in)[of]
	if w == nil {
		w = new(words)
		(*in)[of] = w
	}
	if w.gone == 0 {
		w.text = text
	}
}

func (l *ledger) removed(m numbered)     { l.remove(&l.messages, m) }
func (l *ledger) removedNote(n numbered) { l.remove(&l.notes, n) }

func (l *ledger) remove(in *map[numbered]*words, of numbered) {
	l.set(in, of, "")
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := (*in)[of]; w.gone == 0 {
		w.gone = l.now()
	}
}

// goneBefore reports whether the removal of a message was acknowledged before a moment.
func (l *ledger) goneBefore(m numbered, moment int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.messages[m]
	return w != nil && w.gone != 0 && w.gone < moment
}

// count takes down how a call ended.
func (l *ledger) count(call string, acked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked == nil {
		l.acked, l.refused = map[string]int{}, map[string]int{}
	}
	if acked {
		l.acked[call]++
	} else {
		l.refused[call]++
	}
}

// sumOf makes a number of a name.
func sumOf(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}
