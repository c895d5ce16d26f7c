package main

import (
	"bufio"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goodship/goodship/server/servertest"
	"github.com/goodship/goodship/server/support"
	"github.com/goodship/goodship/server/webhook"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// TestDocs runs the commands of docs/webhooks.md as they are printed: what the customer of the second says arrives at the receiver of
// the first.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, block := range strings.Split(string(page), "```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		blocks = append(blocks, block)
	}
	if len(blocks) != 4 || !strings.HasPrefix(blocks[0], "go run ./server --webhook-http --webhook-networks 127.0.0.0/8") {
		t.Fatalf("got %q, want the commands for a server, a receiver, a customer, and what follows", blocks)
	}
	s := servertest.New(t, servertest.WithService(func(o *support.Options) {
		o.Webhooks = webhook.Options{AllowHTTP: true, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	}))
	shell := func(block string) *exec.Cmd {
		run := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", block)
		run.Dir, run.Env, run.Stderr = "../..", append(os.Environ(), "GOODSHIP="+s.REST, "KEY="+s.Key), t.Output()
		return run
	}
	receiving := shell(blocks[1])
	receiving.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := receiving.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := receiving.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() { _ = syscall.Kill(-receiving.Process.Pid, syscall.SIGTERM) }
	limit := time.AfterFunc(2*time.Minute, stop)
	defer limit.Stop()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "hook_") {
		t.Fatalf("got %q, want the endpoint's id", lines.Text())
	}
	endpoint := lines.Text()
	if out, err := shell(blocks[2]).Output(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var told []string
	for len(told) < 3 && lines.Scan() {
		words := strings.Fields(lines.Text())
		told = append(told, words[0]+" "+strings.Join(words[2:], " "))
	}
	if got, want := strings.Join(told, "; "), "opened lieutenant; message_sent lieutenant The film stops.; wait_began lieutenant"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	log, err := shell("ENDPOINT=" + endpoint + "\n" + blocks[3]).Output()
	if err != nil || !strings.Contains(string(log), `"eventKind":"message_sent"`) {
		t.Errorf("the log is %s, %v", log, err)
	}
	stop()
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) != "" {
			t.Errorf("the receiver also told of %s", lines.Text())
		}
	}
	_ = receiving.Wait()
}

// What nobody signed is refused, and what comes twice is told once.
func TestReceiver(t *testing.T) {
	secret, err := standardwebhooks.NewWebhook("whsec_" + strings.Repeat("YWJj", 8))
	if err != nil {
		t.Fatal(err)
	}
	told := &strings.Builder{}
	r := &receiver{secret: "whsec_" + strings.Repeat("YWJj", 8), log: log.New(told, "", 0), seen: map[string]bool{}}
	body := `{"type": "opened", "data": {"conversationId": "conv_1", "customerId": "kim"}}`
	now := time.Now()
	signature, err := secret.Sign("evt_1", now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		signature string
		status    int
		told      string
	}{
		{"v1,bm8=", http.StatusUnauthorized, ""},
		{signature, http.StatusNoContent, "opened conv_1 kim \n"},
		{signature, http.StatusNoContent, "opened conv_1 kim \n"},
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/goodship", strings.NewReader(body))
		req.Header.Set(standardwebhooks.HeaderWebhookID, "evt_1")
		req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
		req.Header.Set(standardwebhooks.HeaderWebhookSignature, c.signature)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		if w.Code != c.status || told.String() != c.told {
			t.Errorf("got %d and %q, want %d and %q", w.Code, told, c.status, c.told)
		}
	}
}
