package main

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// wire is a TCP proxy that can be down, and deaf: then nothing comes back.
type wire struct {
	t           *testing.T
	to, address string
	deaf        atomic.Bool
	work        sync.WaitGroup

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
}

// newWire returns a proxy to an address, which ends with the test.
func newWire(t *testing.T, to string) *wire {
	t.Helper()
	w := &wire{t: t, to: to, address: "127.0.0.1:0"}
	w.up()
	t.Cleanup(func() {
		w.down()
		w.work.Wait()
	})
	return w
}

func (w *wire) up() {
	w.t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.deaf.Store(false)
	w.l, w.address = l, l.Addr().String()
	w.work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			w.join(in)
		}
	})
}

func (w *wire) join(in net.Conn) {
	out, err := new(net.Dialer).DialContext(context.Background(), "tcp", w.to)
	if err != nil {
		_ = in.Close()
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, in, out)
	w.mu.Unlock()
	w.work.Go(func() { _, _ = io.Copy(out, in) })
	w.work.Go(func() { _, _ = io.Copy(lossy{in, &w.deaf}, out) })
}

// down closes every connection, and takes no more.
func (w *wire) down() {
	_ = w.l.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

// lossy writes into the void while it is deaf.
type lossy struct {
	io.Writer
	deaf *atomic.Bool
}

func (l lossy) Write(p []byte) (int, error) {
	if l.deaf.Load() {
		return len(p), nil
	}
	return l.Writer.Write(p)
}

// has reports how often a terminal shows a text.
func (m *terminal) has(text string, want int) {
	m.t.Helper()
	if n := strings.Count(m.out.String(), text); n != want {
		m.t.Errorf("%q is told %d times, want %d:\n%s", text, n, want, m.out)
	}
}

// What is typed while the server is away is sent when it is back: in order, once, though an answer was lost, and answering
// what was seen when it was typed.
func TestLinesAreKept(t *testing.T) {
	data := t.TempDir()
	_, address := serving(t, data)
	far, near := newWire(t, address), newWire(t, address)
	customer := chatAs(t, "customer/ada", far.address, "--data", data)
	agent := chatAs(t, "agent/captain", near.address, "--data", data)
	mirror := chatAs(t, "customer/ada", address, "--data", data)
	mirror.sees(`· write .*`)
	agent.sees(`· nobody waits`)
	customer.types("Part 1.")
	customer.sees(`· the conversation, waiting.*`)
	agent.sees(`· somebody waits.*`)
	agent.types("/next")
	agent.sees(at + ` ada: Part 1\.`)

	far.deaf.Store(true)
	customer.types("Part 2.")
	agent.sees(at + ` ada: Part 2\.`)
	far.down()
	near.deaf.Store(true)
	agent.types("Which film?")
	mirror.types("Part 3.")
	mirror.sees(`· the conversation, waiting.*`)
	mirror.sees(at + ` Captain: Which film\?`)
	near.down()
	for _, line := range []string{"Part 4.", "/wait", "Part 5."} {
		customer.types(line)
	}
	for _, m := range []*terminal{customer, agent} {
		m.sees(`· the server is away: what you type is kept, and sent when it is back; /quit drops it`)
	}
	near.up()
	far.up()
	agent.sees(`· what was kept is sent`)
	customer.sees(`· what was kept is sent`)
	customer.sees(`· number 1 in line; .*`)
	agent.sees(`(?s)` + at + ` ada: Part 3\..*` + at + ` ada: Part 4\..*` + at + ` ada: Part 5\.`)
	for _, part := range []string{"Part 1.", "Part 2.", "Part 3.", "Part 4.", "Part 5."} {
		agent.has(part, 1)
	}
	for _, own := range []string{"Part 2.", "Part 4.", "Part 5."} {
		customer.has(own, 0)
	}
	mirror.has("Which film?", 1)
	agent.has("Which film?", 0)
	for _, m := range []*terminal{customer, agent, mirror} {
		m.has("\n! ", 0)
	}
}

// Who leaves while the server is away is told that not all was sent.
func TestWhoLeavesWhileTheServerIsAway(t *testing.T) {
	data := t.TempDir()
	_, address := serving(t, data)
	w := newWire(t, address)
	customer := chatAs(t, "customer/ada", w.address, "--data", data)
	customer.sees(`· write .*`)
	w.down()
	customer.types("Part 1.")
	customer.types("Part 2.")
	err := customer.leaves()
	if want := "the server is away: of the lines that were typed 2 may not have been sent"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A server that was restored from a backup has no place for the watches: the chat reads again, and goes on.
func TestAChatGoesOnAfterARestore(t *testing.T) {
	data := t.TempDir()
	server, address := serving(t, data)
	ada, agent := chatAs(t, "customer/ada", address, "--data", data), chatAs(t, "agent/captain", address, "--data", data)
	agent.sees(`· nobody waits`)
	ada.types("Part 1.")
	agent.sees(`· somebody waits.*`)
	agent.types("/next")
	agent.sees(at + ` ada: Part 1\.`)
	backup := filepath.Join(t.TempDir(), "backup")
	command := func(args ...string) {
		t.Helper()
		if err := run(t.Context(), append([]string{"--data", data}, args...), nil, io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	command("backup", backup)
	ben := chatAs(t, "customer/ben", address, "--data", data)
	ben.sees(`· write .*`)
	ben.types("Ahoy")
	ben.sees(`· the conversation, waiting.*`)
	agent.sees(`· somebody waits.*`)
	ada.types("Part 2.")
	agent.sees(at + ` ada: Part 2\.`)
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	command("restore", "--force", backup)
	start(t, data, "--grpc-address", address)

	for _, m := range []*terminal{ada, ben, agent} {
		m.sees(`· the server was restored from a backup: .*`)
	}
	ben.sees(`(?s)· write .* the server was restored .*\n· write [^\n]*`)
	ada.types("Part 2 again.")
	agent.sees(at + ` ada: Part 2 again\.`)
	agent.types("I see.")
	ada.sees(at + ` Captain: I see\.`)
	ben.types("Ahoy!")
	agent.sees(`(?s).* the server was restored .*\n· somebody waits, [^\n]*`)
	for _, m := range []*terminal{ada, ben, agent} {
		if err := m.end(); err != nil { // before the server ends
			t.Error(err)
		}
		m.has("was restored", 1)
		m.has("\n! ", 0)
	}
}
