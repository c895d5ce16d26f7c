package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc"
)

// asServer makes this program the server that is measured, in one of two ways.
const asServer = "GOODSHIP_BENCH_SERVER"

const (
	// asItIs is the server as it is: an update is encoded once for all who watch.
	asItIs = "once"
	// forEach is the control: the same server, whose streams are given the update itself, so that gRPC encodes it for each.
	forEach = "each"
	// unbounded is the server as it is, but apologies go out as fast as they can.
	unbounded = "unbounded"
)

// where is what a server tells first: how it is reached.
type where struct{ GRPC, Key string }

// usage is what a server has used.
type usage struct {
	// CPU is the time of all processors, of user and system.
	CPU time.Duration
	// RSS, Heap, Stack and Anon are in bytes; Anon is RSS without the pages of files.
	RSS, Heap, Stack, Anon int64
	Goroutines             int
}

// serve serves a new store in a folder that is removed, until stdin ends. To each line there it answers with its usage: after a
// few garbage collections to `collect`.
func serve(how string) error {
	folder, err := os.MkdirTemp("", "goodship-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // what is left is in the folder for temporary files
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	kept, err := bolt.Open(filepath.Join(folder, "goodship.db"), bolt.Options{Log: log})
	if err != nil {
		return err
	}
	var o support.Options
	if how == unbounded {
		o.ApologiesPerSecond = math.MaxInt32
	}
	svc, err := support.New(kept, o)
	if err != nil {
		return errors.Join(err, kept.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err = svc.Start(ctx)
	if err == nil {
		err = open(ctx, cancel, svc, how, log)
	}
	svc.Close()
	return errors.Join(err, kept.Close())
}

func open(ctx context.Context, cancel context.CancelFunc, svc *support.Service, how string, log *slog.Logger) error {
	operator := support.WithCaller(ctx, support.Caller{Kind: goodshipv1.Caller_CALLER_OPERATOR})
	made, err := svc.CreateWorkspace(operator, &goodshipv1.CreateWorkspaceRequest{DisplayName: "Bench"})
	if err != nil {
		return err
	}
	var served rpc.Service = svc
	if how == forEach {
		served = each{svc}
	}
	server, err := rpc.New(served, rpc.Config{Log: log, Limits: limits(), DrainTimeout: time.Second})
	if err != nil {
		return err
	}
	l, err := rpc.Listen(ctx, rpc.Addresses{GRPC: "127.0.0.1:0", REST: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	go answer(where{l.GRPC.Addr().String(), made.Secret}, cancel)
	return server.Serve(ctx, l)
}

// limits are the defaults, without those that a program with thousands of streams runs into.
func limits() rpc.Limits {
	l := rpc.DefaultLimits()
	l.RatePerWorkspace, l.RatePerCaller, l.RatePerAddress, l.CallsPerConnection = -1, -1, -1, -1
	l.MaxConnections, l.MaxConnectionsPerAddress, l.WatchesPerWorkspace = 1<<20, 1<<20, 1<<20
	return l
}

// answer tells where the server is, and then what it has used, each time that it is asked.
func answer(w where, cancel func()) {
	defer cancel()
	out, in := json.NewEncoder(os.Stdout), bufio.NewScanner(os.Stdin)
	if err := out.Encode(w); err != nil {
		return
	}
	for in.Scan() {
		if in.Text() == "collect" {
			collect()
		}
		if err := out.Encode(used()); err != nil {
			return
		}
	}
}

// collect collects garbage as often as it is collected anyway in a server's first minutes. Each time a stack that is mostly empty
// shrinks by half.
func collect() {
	for range 4 {
		runtime.GC()
	}
	debug.FreeOSMemory()
}

// used returns what this process has used.
func used() usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // it is asked right
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	all, own := rss()
	return usage{
		CPU: time.Duration(r.Utime.Nano() + r.Stime.Nano()), RSS: all, Anon: own,
		Heap: int64(m.HeapInuse), Stack: int64(m.StackInuse), Goroutines: runtime.NumGoroutine(),
	}
}

// rss returns how much memory this process has, in bytes, and how much of it is no file's.
func rss() (all, own int64) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, 0 // no Linux
	}
	var size, resident, shared int64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
		panic(fmt.Sprintf("/proc/self/statm: %v", err))
	}
	page := int64(os.Getpagesize())
	return resident * page, (resident - shared) * page
}

// each is the service of the control.
type each struct{ *support.Service }

// WatchConversation implements the service.
func (e each) WatchConversation(r *goodshipv1.WatchConversationRequest, s grpc.ServerStreamingServer[goodshipv1.WatchUpdate]) error {
	return e.Service.WatchConversation(r, unframed{s})
}

// unframed is a stream that sends what a frame says in the place of the frame.
type unframed struct {
	grpc.ServerStreamingServer[goodshipv1.WatchUpdate]
}

// SendMsg implements grpc.ServerStream.
func (s unframed) SendMsg(m any) error {
	if f, ok := m.(*support.Frame); ok {
		return s.ServerStreamingServer.SendMsg(f.Update())
	}
	return s.ServerStreamingServer.SendMsg(m)
}
