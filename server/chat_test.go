package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// terminal is a chat that a test types in.
type terminal struct {
	t   *testing.T
	in  *io.PipeWriter
	out *buffer
	// ended waits for the chat's end, and returns what it ended with; end ends the input first.
	ended, end func() error
	// fails says that the chat is to end with an error.
	fails bool
}

// chatAs starts a chat, which ends with the test.
func chatAs(t *testing.T, person, address string, flags ...string) *terminal {
	t.Helper()
	stdin, in := io.Pipe()
	term, done := &terminal{t: t, in: in, out: newBuffer()}, make(chan error, 1)
	term.ended = sync.OnceValue(func() error { return <-done })
	term.end = func() error {
		_ = in.Close()
		return term.ended()
	}
	go func() {
		defer func() { _ = stdin.Close() }()
		done <- run(context.Background(), append([]string{"chat", "--as", person, "--server", address}, flags...), stdin, term.out, term.out)
	}()
	t.Cleanup(func() {
		if err := term.end(); (err != nil) != term.fails {
			t.Errorf("%s: %v", person, err)
		}
	})
	return term
}

func (m *terminal) types(line string) {
	m.t.Helper()
	if _, err := fmt.Fprintln(m.in, line); err != nil {
		m.t.Fatalf("%q: %v\n%s", line, err, m.out)
	}
}

// leaves ends a chat that cannot end well, and returns why not.
func (m *terminal) leaves() error {
	m.fails = true
	m.types("/quit")
	return m.ended()
}

// sees waits for a line, and not for ever, so that a failure shows what there was to see.
func (m *terminal) sees(line string) {
	m.t.Helper()
	for expected := regexp.MustCompile(`(?m)^` + line + `$`); !expected.MatchString(m.out.String()); {
		select {
		case <-m.out.heard:
		case <-time.After(30 * time.Second):
			m.t.Fatalf("no line is %q in\n%s", line, m.out)
		}
	}
}

// serving starts a server, and returns where it listens for gRPC.
func serving(t *testing.T, data string, flags ...string) (r *running, address string) {
	t.Helper()
	r = start(t, data, flags...)
	return r, regexp.MustCompile(`grpc=(\S+)`).FindStringSubmatch(r.stderr.String())[1]
}

const at = `\d\d:\d\d`

// A whole conversation in two terminals, over a restart of the server, in which each line is seen once.
func TestChat(t *testing.T) {
	data := t.TempDir()
	server, address := serving(t, data)
	customer := chatAs(t, "customer/lieutenant", address, "--data", data)
	customer.sees(`· write what it is about; .*`)
	agent := chatAs(t, "agent/captain", address, "--data", data)
	agent.sees(`· nobody waits`)
	customer.types("The film stops.")
	customer.sees(`· the conversation, waiting; an answer by ` + at)
	agent.sees(`· somebody waits, an answer is due by ` + at + `: /next`)
	agent.types("/next")
	agent.sees(at + ` lieutenant: The film stops\.`)
	agent.types("/note It is chapter 2.")
	agent.sees(`· note 1 was written`)
	agent.types("Which one?")
	customer.sees(at + ` Captain: Which one\?`)
	customer.sees(`· answered in time`)
	agent.sees(`· read`)

	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	customer.sees(`· reconnecting …`)
	agent.sees(`· reconnecting …`)
	start(t, data, "--grpc-address", address)
	customer.types("Part 2.")
	agent.sees(at + ` lieutenant: Part 2\.`)
	agent.types("/propose fault It is encoded anew.")
	customer.sees(at + ` Captain: It is encoded anew\.`)
	customer.sees(`· is it solved\? /solved or /reject`)
	customer.types("/reject It stops again.")
	agent.sees(`· it is not solved`)
	agent.sees(at + ` lieutenant: It stops again\.`)
	agent.types("/propose fault Now it is.")
	customer.sees(at + ` Captain: Now it is\.`)
	customer.types("/solved Thanks!")
	agent.sees(at + ` lieutenant: Thanks!`)
	agent.sees(`· resolved: confirmed`)
	customer.types("/rate 5 4 lovely")
	agent.sees(`· rated`)
	customer.types("/wait")
	customer.sees(`· nobody waits here`)
	texts := []string{"film", "Part", "stops again", "Thanks", "Which", "anew", "Now it"}
	for m, own := range map[*terminal][]string{customer: texts[:4], agent: texts[4:]} {
		m.types("/quit")
		if err := m.ended(); err != nil {
			t.Error(err)
		}
		for _, text := range texts {
			want := 1
			if slices.Contains(own, text) { // it stands there as it was typed
				want = 0
			}
			if n := strings.Count(m.out.String(), text); n != want {
				t.Errorf("%q is told %d times, want %d:\n%s", text, n, want, m.out)
			}
		}
		if strings.Contains(m.out.String(), "\n! ") || strings.Contains(m.out.String(), "chapter") {
			t.Errorf("it says\n%s", m.out)
		}
	}
}

// Who comes back is shown what was said, and goes on.
func TestAChatGoesOn(t *testing.T) {
	data := t.TempDir()
	_, address := serving(t, data)
	for _, line := range []string{"Ahoy", "Is anybody there?"} {
		customer := chatAs(t, "customer/ada", address, "--data", data)
		customer.sees(`· (write|the conversation).*`)
		customer.types(line)
		customer.types("/wait")
		customer.sees(`· number 1 in line; an answer by ` + at)
		if err := customer.end(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		agent := chatAs(t, "agent/captain", address, "--data", data)
		agent.sees(`· (nobody waits|1 in line, [01] of them nobody's, the first since ` + at + `: /next)`)
		agent.types("/next") // the second time there is none, and the conversation is there
		agent.sees(at + ` ada: Ahoy`)
		agent.sees(at + ` ada: Is anybody there\?`)
		if err := agent.end(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnAgentReleases(t *testing.T) {
	data := t.TempDir()
	_, address := serving(t, data)
	customer := chatAs(t, "customer/ada", address, "--data", data)
	customer.types("Ahoy")
	customer.sees(`· the conversation, waiting.*`)
	captain, engineer := chatAs(t, "agent/captain", address, "--data", data), chatAs(t, "agent/engineer", address, "--data", data)
	engineer.sees(`· 1 in line.*`)
	captain.types("/next")
	captain.sees(at + ` ada: Ahoy`)
	captain.types("/release")
	captain.sees(`· released`)
	engineer.sees(`· somebody waits again: /next`)
	captain.types("Ahoy!")
	captain.sees(`! there is no conversation yet; .*`)
}

// An agent goes from one of their conversations to another, and hears of those who wait in it.
func TestAnAgentHasTwoConversations(t *testing.T) {
	data := t.TempDir()
	_, address := serving(t, data)
	ada, agent := chatAs(t, "customer/ada", address, "--data", data), chatAs(t, "agent/captain", address, "--data", data)
	agent.sees(`· nobody waits`)
	agent.types("/list")
	agent.sees(`· you have none`)
	ada.types("I am the first.")
	agent.sees(`· somebody waits, .*`)
	agent.types("/next")
	agent.sees(at + ` ada: I am the first\.`)
	agent.types("Ahoy!")
	agent.sees(`· answered in time`)
	ben := chatAs(t, "customer/ben", address, "--data", data)
	ben.types("I am the second.")
	agent.sees(`(?s).*· answered in time\n.*· somebody waits, [^\n]*`)
	agent.types("/next")
	agent.sees(at + ` ben: I am the second\.`)
	agent.types("Ahoy, ben!")
	ben.sees(at + ` Captain: Ahoy, ben!`)
	ada.types("Are you there?")
	agent.sees(`· a customer waits in another conversation of yours, an answer is due by ` + at + `: /list`)
	agent.types("/open 1")
	agent.sees(`! say which one by its number .*`)
	agent.types("/list")
	agent.sees(`· 1: the conversation with ada, waiting; an answer by ` + at) // who waits goes first
	agent.sees(`· 2: the conversation with ben, answered`)
	again := chatAs(t, "agent/captain", address, "--data", data)
	again.sees(at + ` ada: Are you there\?`)
	again.sees(`· you have 2 open conversations: /list`)
	agent.types("/open 1")
	agent.sees(at + ` ada: Are you there\?`)
	agent.types("Here I am.")
	ada.sees(at + ` Captain: Here I am\.`)
	ada.types("Thanks.")
	agent.sees(at + ` ada: Thanks\.`)
	ben.types("And I?")
	agent.sees(`(?s)· a customer waits in another.*\n· a customer waits in another [^\n]*`)
	agent.types("/list")
	agent.sees(`· [12]: the conversation with ben, waiting; .*`)
	agent.has("· a customer waits in another", 2) // and not in the one that is shown
}

func TestMistakesInAChat(t *testing.T) {
	data := t.TempDir()
	_, address := serving(t, data)
	customer, agent := chatAs(t, "customer/ada", address, "--data", data), chatAs(t, "agent/captain", address, "--data", data)
	agent.sees(`· nobody waits`)
	for line, want := range map[string]string{
		"/solved": `! there is no conversation yet; .*`,
		"/next":   `! /next is no command here; /help shows those that there are`,
		"/help":   `· /wait shows .*`,
		"":        `· write .*`,
	} {
		customer.types(line)
		customer.sees(want)
	}
	customer.types("Ahoy")
	agent.sees(`· somebody waits, .*`)
	customer.types("/reject")
	customer.sees(`! No resolution can be rejected .*`)
	customer.types("/rate lovely")
	customer.sees(`! write two numbers .*`)
	customer.types("/rate 9 9")
	customer.sees(`! .*rating\.personal.*`)
	agent.types("/next")
	agent.sees(at + ` ada: Ahoy`)
	agent.types("/propose it works")
	agent.sees(`! say what it was .*`)
	agent.types("/next")
	agent.sees(`· nobody waits`)
}

// A chat with a server elsewhere has a credential of its own, and nothing to do with a data folder.
func TestAChatWithACredential(t *testing.T) {
	server, address := serving(t, t.TempDir())
	key := secret.FindString(server.stdout.String())
	backend, err := client.New(address, client.WithToken(key), client.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	made, err := backend.CreateToken(t.Context(), &goodshipv1.CreateTokenRequest{CustomerId: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	for _, credential := range []string{key, made.GetToken(), made.GetToken() + "\n"} {
		t.Setenv(tokenVariable, credential)
		customer := chatAs(t, "customer/ada", address, "--data", "/nowhere")
		customer.sees(`· (write|the conversation).*`)
		customer.types("Ahoy")
		customer.types("/wait")
		customer.sees(`· number 1 in line.*`)
		if err := customer.end(); err != nil {
			t.Error(err)
		}
	}
}

// Who a token says that it is must be who is said to chat. The server's own tokens do not say.
func TestATokenOfSomebodyElse(t *testing.T) {
	server, address := serving(t, t.TempDir())
	backend, err := client.New(address, client.WithToken(secret.FindString(server.stdout.String())), client.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	for _, kind := range []goodshipv1.TokenKind{goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER, goodshipv1.TokenKind_TOKEN_KIND_AGENT, goodshipv1.TokenKind_TOKEN_KIND_LEADER} {
		key, err := backend.CreateSigningKey(t.Context(), &goodshipv1.CreateSigningKeyRequest{TokenKind: kind})
		if err != nil {
			t.Fatal(err)
		}
		signer, err := client.NewSigner(key.GetSigningKey().GetId(), key.GetSigningKey().GetAudience(), key.GetSecret())
		if err != nil {
			t.Fatal(err)
		}
		token, err := signer.Sign("ada", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(tokenVariable, token)
		who := "agent/ada"
		if kind == goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER {
			who = "customer/ada"
			customer := chatAs(t, who, address)
			customer.sees(`· write .*`)
			if err := customer.end(); err != nil {
				t.Error(err)
			}
		}
		for _, other := range []string{"customer/ben", "agent/ben"} {
			err = run(t.Context(), []string{"chat", "--as", other, "--server", address}, strings.NewReader(""), io.Discard, io.Discard)
			if want := "holds a token of " + who + ": say --as " + who; err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
				t.Errorf("%s: got %v, want %s", other, err, want)
			}
		}
	}
}

// A line that is too long to be read ends the chat, and not without a word; what came before it is done.
func TestALineWithoutEnd(t *testing.T) {
	data := t.TempDir()
	_, address := serving(t, data)
	out := newBuffer()
	typed := "Ahoy\n" + strings.Repeat("x", maxLine) + "\nAhoy again\n"
	err := run(t.Context(), []string{"--data", data, "chat", "--as", "customer/ada", "--server", address}, strings.NewReader(typed), out, out)
	if err == nil || !strings.Contains(err.Error(), "a line has more than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
	if got := out.String(); !strings.Contains(got, "· the conversation, waiting") {
		t.Errorf("it says\n%s", got)
	}
}

// Interrupted, a chat ends in order.
func TestAChatIsInterrupted(t *testing.T) {
	data := t.TempDir()
	_, address := serving(t, data)
	ctx, cancel := context.WithCancel(t.Context())
	stdin, in := io.Pipe()
	defer func() { _ = in.Close() }()
	out := newBuffer()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"chat", "--as", "customer/ada", "--server", address, "--data", data}, stdin, out, out)
	}()
	out.await(regexp.MustCompile("write what"))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
