package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/store/bolt"
)

// crashChild names the file in which a child process writes until it is killed.
const crashChild = "GOODSHIP_BOLT_CRASH_CHILD"

// acked is a message that was acknowledged: its conversation, number and text.
type acked struct {
	conversation string
	number       int32
	text         string
}

// runCrashChild appends from many goroutines and writes to the pipe what was acknowledged, until it is killed.
func runCrashChild(path string) {
	st, err := bolt.Open(path, bolt.Options{Log: discard})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	for caller := range 16 {
		go func() {
			for n := 0; ; n++ {
				id, text := fmt.Sprintf("conv_%03d", rand.IntN(furnished)), fmt.Sprintf("%d-%d-%d", os.Getpid(), caller, n)
				once := store.Once{RequestID: text, Conversation: id}
				result, err := st.Update(context.Background(), workspace, once, func(tx store.Tx) (*storev1.Receipt, error) {
					if err := say(tx, id, text, nil); err != nil {
						return nil, err
					}
					head, err := tx.Conversation(id)
					return &storev1.Receipt{MessageNumber: head.GetConversation().GetMessageCount()}, err
				})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				mu.Lock()
				fmt.Println(id, result.Receipt.GetMessageNumber(), text)
				mu.Unlock()
			}
		}()
	}
	select {}
}

// TestKill kills a process that writes, again and again: what it acknowledged is there, and everything is whole.
func TestKill(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	st := mustOpen(t, path, bolt.Options{})
	furnish(t, st, furnished)
	mustClose(t, st)
	var ledger []acked
	cycles := 0
	for ; cycles < 8; cycles++ {
		ledger = append(ledger, killWhileWriting(t, path)...)
		st := mustOpen(t, path, bolt.Options{})
		mustHave(t, st, ledger)
		mustBeSound(t, st)
		mustClose(t, st)
	}
	if len(ledger) == 0 {
		t.Error("nothing was ever acknowledged")
	}
	t.Logf("%d cycles, %d acknowledged messages", cycles, len(ledger))
}

// killWhileWriting returns what a child acknowledged before it was killed.
func killWhileWriting(t *testing.T, path string) (ledger []acked) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashChild+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	// From the first acknowledgement on, so that there are some.
	lines := bufio.NewReader(out)
	var killer *time.Timer
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break // and a line that was cut off is no acknowledgement
		}
		if err != nil {
			t.Fatal(err)
		}
		var a acked
		if _, err := fmt.Sscan(line, &a.conversation, &a.number, &a.text); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		ledger = append(ledger, a)
		if killer == nil {
			killer = time.AfterFunc(time.Duration(20+rand.IntN(150))*time.Millisecond, func() { _ = child.Process.Signal(syscall.SIGKILL) })
		}
	}
	if err := child.Wait(); killer == nil || err == nil {
		t.Fatalf("the child ended before it acknowledged anything: %v", err)
	}
	return ledger
}

// mustHave fails the test unless every message of a ledger is in the store under its number.
func mustHave(t *testing.T, st *bolt.Store, ledger []acked) {
	t.Helper()
	texts := make(map[string]string)
	for i := range furnished {
		id := fmt.Sprintf("conv_%03d", i)
		messages, err := st.Messages(t.Context(), workspace, id, store.Range{From: 1, Limit: 1_000_000})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			texts[id+" "+strconv.Itoa(int(m.GetNumber()))] = m.GetText()
		}
	}
	lost := 0
	for _, a := range ledger {
		if texts[a.conversation+" "+strconv.Itoa(int(a.number))] != a.text {
			lost++
		}
	}
	if lost > 0 {
		t.Fatalf("%d of %d acknowledged messages were lost", lost, len(ledger))
	}
}
