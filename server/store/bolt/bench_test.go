package bolt_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The benchmarks take two settings from the environment:
//
//	GOODSHIP_BENCH_CONVERSATIONS  how many conversations the store has, the newest tenth open; 10 messages each; 5,000
//	GOODSHIP_BENCH_FILE           where to keep that store for the next run; not kept if empty
const (
	benchWorkspace = "work_06d8m2k5e1s6f8q3r4t5v6w7x8"
	benchMessages  = 10
	// benchRegular is the customer of as many conversations as benchRegulars, among the newest.
	benchRegular  = "cust_06d8m2k5e1_regular"
	benchRegulars = 1_000
)

var benchStart = time.Date(2026, time.March, 1, 9, 0, 0, 0, time.UTC)

func benchConversations(tb testing.TB) int {
	tb.Helper()
	set := os.Getenv("GOODSHIP_BENCH_CONVERSATIONS")
	if set == "" {
		return 5_000
	}
	n, err := strconv.Atoi(set)
	if err != nil {
		tb.Fatalf("GOODSHIP_BENCH_CONVERSATIONS: %v", err)
	}
	return n
}

func benchID(n int) string { return fmt.Sprintf("conv_06d8m2k5e1%016d", n) }

// benchFile returns the file of a store with many conversations. It is made by restoring a backup, the fastest way in.
func benchFile(tb testing.TB) string {
	tb.Helper()
	path := os.Getenv("GOODSHIP_BENCH_FILE")
	if path == "" {
		path = filepath.Join(tb.TempDir(), "goodship.db")
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeBenchBackup(w, benchConversations(tb))) }()
	start := time.Now()
	if err := bolt.Restore(path, r); err != nil {
		tb.Fatal(err)
	}
	tb.Logf("restored %d conversations in %v", benchConversations(tb), time.Since(start))
	return path
}

// writeBenchBackup writes the backup of a store with n conversations, in the order of a real one.
func writeBenchBackup(w io.Writer, n int) error {
	b, err := store.NewBackupWriter(w, "epoch", store.NewKey())
	if err != nil {
		return err
	}
	for i := range n {
		id := benchID(i)
		head := benchHead(i, i >= n-n/10)
		if i%5 == 0 && i >= n-5*benchRegulars {
			head.CustomerKey = benchRegular
		}
		entry := &storev1.BackupEntry{WorkspaceId: benchWorkspace, ConversationId: id, Object: &storev1.BackupEntry_Head{Head: head}}
		if err := b.Write(entry); err != nil {
			return err
		}
		for number := int32(benchMessages); number > 0; number-- {
			entry.Object = &storev1.BackupEntry_LogRecord{LogRecord: &storev1.LogRecord{
				Record: benchRecord(id, number), FeedPosition: int64(i*benchMessages) + int64(number),
			}}
			if err := b.Write(entry); err != nil {
				return err
			}
		}
	}
	for i := range n * benchMessages {
		entry := &storev1.BackupEntry{WorkspaceId: benchWorkspace, Object: &storev1.BackupEntry_Feed{Feed: &storev1.FeedRecord{
			Position: int64(i) + 1, ConversationId: benchID(i / benchMessages), Revision: int32(i%benchMessages) + 1,
		}}}
		if err := b.Write(entry); err != nil {
			return err
		}
	}
	return b.Close(benchStart)
}

// benchHead is the head of a conversation with all that one usually has.
func benchHead(n int, open bool) *storev1.Head {
	at := func(seconds int) *timestamppb.Timestamp {
		return timestamppb.New(benchStart.Add(time.Duration(n)*time.Second + time.Duration(seconds)*time.Second))
	}
	c := &goodshipv1.Conversation{
		Id:      benchID(n),
		State:   goodshipv1.State_STATE_RESOLVED,
		Outcome: goodshipv1.Outcome_OUTCOME_CONFIRMED,
		Subject: "The film stops at the same place",
		Labels:  []string{"playback"},
		OwnerId: fmt.Sprintf("agent_%d", n%50),
		Participants: []*goodshipv1.Participant{
			{Number: 1, Kind: goodshipv1.SenderKind_SENDER_KIND_CUSTOMER, Persona: &goodshipv1.Persona{DisplayName: "Norm"}},
			{Number: 2, Kind: goodshipv1.SenderKind_SENDER_KIND_AGENT, AgentId: fmt.Sprintf("agent_%d", n%50), Persona: &goodshipv1.Persona{DisplayName: "Captain Mike"}},
		},
		AnswerPromise: &goodshipv1.Promise{State: goodshipv1.PromiseState_PROMISE_STATE_KEPT, StartTime: at(0), DueTime: at(300), AnsweredTime: at(60)},
		LineTime:      at(0),
		MessageCount:  benchMessages,
		Revision:      benchMessages, PublicRevision: benchMessages,
		CreateTime: at(0), UpdateTime: at(600), ActivityTime: at(600), ResolveTime: at(600),
	}
	h := &storev1.Head{Conversation: c, CustomerKey: fmt.Sprintf("cust_06d8m2k5e1%016d", n), PublicUpdateTime: at(600)}
	if open {
		c.State, c.Outcome, c.ResolveTime = goodshipv1.State_STATE_WAITING, goodshipv1.Outcome_OUTCOME_UNSPECIFIED, nil
		c.AnswerPromise.State, c.AnswerPromise.AnsweredTime = goodshipv1.PromiseState_PROMISE_STATE_RUNNING, nil
		h.DueTime = at(300)
		h.Unanswered = []*storev1.Act{{Revision: benchMessages, MessageNumber: benchMessages, Time: at(0)}}
	}
	return h
}

// benchRecord is the record of a message of 200 bytes.
func benchRecord(id string, number int32) *storev1.Record {
	at := timestamppb.New(benchStart.Add(time.Duration(number) * time.Second))
	return &storev1.Record{
		Events: []*goodshipv1.Event{{
			Revision: number, PublicRevision: number, CreateTime: at, Actor: &goodshipv1.Actor{Kind: goodshipv1.ActorKind_ACTOR_KIND_CUSTOMER},
			Kind: &goodshipv1.Event_MessageSent{MessageSent: &goodshipv1.MessageSent{Number: number, ParticipantNumber: 1, Asks: true}},
		}},
		Message: &goodshipv1.Message{
			ConversationId: id, Number: number, Text: strings.Repeat("It stops. ", 20), CreateTime: at,
			Sender: &goodshipv1.Sender{Kind: goodshipv1.SenderKind_SENDER_KIND_CUSTOMER, ParticipantNumber: 1, Persona: &goodshipv1.Persona{DisplayName: "Norm"}},
		},
		MessageCount: number,
	}
}

func openBench(b *testing.B) *bolt.Store {
	b.Helper()
	st, err := bolt.Open(benchFile(b), bolt.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	})
	return st
}

// appendMessage appends a customer's message, with everything that such a call does: the head changes, the request id is
// remembered.
func appendMessage(b *testing.B, st *bolt.Store, id string, request uint64) {
	once := store.Once{RequestID: strconv.FormatUint(request, 36), Scope: "customer SendMessage", Conversation: id}
	_, err := st.Update(b.Context(), benchWorkspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
		head, err := tx.Conversation(id)
		if err != nil {
			return nil, err
		}
		c := head.GetConversation()
		c.Revision++
		c.PublicRevision++
		c.MessageCount++
		record := benchRecord(id, c.GetMessageCount())
		record.Events[0].Revision, record.Events[0].PublicRevision = c.GetRevision(), c.GetPublicRevision()
		c.ActivityTime, c.UpdateTime = timestamppb.New(tx.Now()), timestamppb.New(tx.Now())
		receipt := &storev1.Receipt{ConversationId: id, MessageNumber: c.GetMessageCount()}
		return receipt, tx.Append(store.Change{Head: head, Record: record})
	})
	if err != nil {
		b.Error(err)
	}
}

// BenchmarkAppend compares appends with the plain thing, one db.Update that puts one value of the same size, in turns of a
// second, five each. uniform writes to any open conversation, local to the newest hundredth of all.
func BenchmarkAppend(b *testing.B) {
	st := openBench(b)
	plain := openPlain(b, benchConversations(b))
	n := benchConversations(b)
	for _, traffic := range []struct {
		name string
		from int
	}{{"local", n - n/100}, {"uniform", n - n/10}} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", traffic.name, callers), func(b *testing.B) {
				var appends atomic.Int64
				writes := bolt.Writes(st)
				compareAppends(b, callers, func(_ int, request uint64) {
					appends.Add(1)
					appendMessage(b, st, benchID(traffic.from+rand.IntN(n-traffic.from)), request)
				}, plain)
				b.ReportMetric(float64(bolt.Writes(st)-writes)/float64(appends.Load()), "writes/append")
			})
		}
	}
}

// compareAppends runs both in turns and reports how many a second each does, and the median ratio of the turns.
func compareAppends(b *testing.B, callers int, ours, plain func(caller int, request uint64)) {
	var ratios, rates, plainRates []float64
	var latencies []time.Duration
	var cpu time.Duration
	for b.Loop() {
		for range 5 {
			before := cpuTime(b)
			rate, took := rateOf(callers, ours)
			cpu += cpuTime(b) - before
			plainRate, _ := rateOf(callers, plain)
			rates, plainRates, ratios = append(rates, rate), append(plainRates, plainRate), append(ratios, rate/plainRate)
			latencies = append(latencies, took...)
		}
	}
	slices.Sort(latencies)
	b.ReportMetric(median(rates), "appends/s")
	b.ReportMetric(median(plainRates), "puts/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(cpu.Microseconds())/float64(len(latencies)), "cpu-µs/append")
	b.ReportMetric(0, "ns/op")
}

var requests atomic.Uint64

// rateOf has callers do something for a second and returns how many were done in a second, and how long each took.
func rateOf(callers int, do func(caller int, request uint64)) (float64, []time.Duration) {
	var mu sync.Mutex
	var all []time.Duration
	var running sync.WaitGroup
	start := time.Now()
	for caller := range callers {
		running.Go(func() {
			var took []time.Duration
			for time.Since(start) < time.Second {
				began := time.Now()
				do(caller, requests.Add(1))
				took = append(took, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	running.Wait()
	return float64(len(all)) / time.Since(start).Seconds(), all
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// openPlain returns the plain thing: a put of 600 bytes, about what an append writes, in a transaction of its own. Its
// file has as many values as the store has messages, up to 200,000.
func openPlain(b *testing.B, conversations int) func(caller int, request uint64) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "plain.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	name, value := []byte("messages"), make([]byte, 600)
	conversations = min(conversations, 20_000)
	put := func(bucket *bbolt.Bucket, conversation int, number uint64) error {
		return bucket.Put(binary.BigEndian.AppendUint64([]byte(benchID(conversation)), number), value)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket(name)
		for i := 0; i < conversations*benchMessages && err == nil; i++ {
			err = put(bucket, i/benchMessages, uint64(i%benchMessages))
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return func(_ int, request uint64) {
		err := db.Update(func(tx *bbolt.Tx) error {
			return put(tx.Bucket(name), rand.IntN(conversations), benchMessages+request)
		})
		if err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkRead reads from a warm store, one caller.
func BenchmarkRead(b *testing.B) {
	st := openBench(b)
	n := benchConversations(b)
	long := benchID(n - 1)
	for i := range 50 {
		appendMessage(b, st, long, uint64(i)|1<<63)
	}
	encoded, err := proto.Marshal(benchHead(0, true))
	if err != nil {
		b.Fatal(err)
	}
	reads := []struct {
		name string
		read func() error
	}{
		{"Conversation", func() error {
			_, err := st.Conversation(b.Context(), benchWorkspace, benchID(rand.IntN(n)))
			return err
		}},
		{"Last10Messages", func() error {
			_, err := st.Messages(b.Context(), benchWorkspace, benchID(rand.IntN(n)), store.Range{Limit: 10, Descending: true})
			return err
		}},
		{"Last50Messages", func() error {
			_, err := st.Messages(b.Context(), benchWorkspace, long, store.Range{Limit: 50, Descending: true})
			return err
		}},
		// The floor of a page: its heads decoded, and nothing else.
		{"Decode20Heads", func() error {
			for range 20 {
				if err := proto.Unmarshal(encoded, &storev1.Head{}); err != nil {
					return err
				}
			}
			return nil
		}},
		{"ListPage20", listPage(b, st, store.Query{})},
		{"ListPage20/owner", listPage(b, st, store.Query{OwnerID: "agent_10", State: goodshipv1.State_STATE_WAITING})},
		{"ListPage20/line", listPage(b, st, store.Query{Order: store.ByLine})},
		{"Place", func() error {
			_, err := st.Place(b.Context(), benchWorkspace, benchID(n-1-rand.IntN(n/10)))
			return err
		}},
		{"ListPage20/resolved", listPage(b, st, store.Query{State: goodshipv1.State_STATE_RESOLVED})},
		{"ListPage20/customer", listPage(b, st, store.Query{CustomerKeys: []string{fmt.Sprintf("cust_06d8m2k5e1%016d", 7)}})},
	}
	for _, read := range reads {
		b.Run(read.name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				if err := read.read(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/1000/float64(b.N), "cpu-µs/op")
		})
	}
}

// cpuTime returns how much of the processors the process has had: what a read costs on a machine that is busy otherwise.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func listPage(b *testing.B, st *bolt.Store, q store.Query) func() error {
	return func() error {
		_, _, err := st.List(b.Context(), benchWorkspace, q, nil, 20)
		return err
	}
}

// BenchmarkFeedOf follows the conversations of a customer who has a thousand: where nothing is new, where one is, and from
// the beginning.
func BenchmarkFeedOf(b *testing.B) {
	st := openBench(b)
	appendMessage(b, st, benchID(benchConversations(b)-5), 1<<62)
	_, newest, err := st.FeedEnds(b.Context(), benchWorkspace)
	if err != nil {
		b.Fatal(err)
	}
	for _, from := range []struct {
		name    string
		after   int64
		entries int
	}{{"nothing", newest, 0}, {"one", newest - 1, 1}, {"all", 0, 100}} {
		b.Run(from.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				entries, err := st.FeedOf(b.Context(), benchWorkspace, []string{benchRegular}, from.after, 100)
				if err != nil || len(entries) != from.entries {
					b.Fatalf("got %d entries, %v, want %d", len(entries), err, from.entries)
				}
			}
		})
	}
}

// BenchmarkReadUnderWrites reads conversations while 64 callers append.
func BenchmarkReadUnderWrites(b *testing.B) {
	st := openBench(b)
	n := benchConversations(b)
	ctx, cancel := context.WithCancel(b.Context())
	var writing sync.WaitGroup
	for range 64 {
		writing.Go(func() {
			for ctx.Err() == nil {
				appendMessage(b, st, benchID(n-1-rand.IntN(n/10)), requests.Add(1))
			}
		})
	}
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := st.Conversation(ctx, benchWorkspace, benchID(rand.IntN(n))); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	cancel()
	writing.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkOpen opens the store and reports the heap that it holds then.
func BenchmarkOpen(b *testing.B) {
	path := benchFile(b)
	var before, after runtime.MemStats
	for b.Loop() {
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		st, err := bolt.Open(path, bolt.Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		if err := st.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/(1<<20), "heap-MB")
}
