package main

import (
	"context"
	"errors"
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
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// terminal is a chat that a test types in.
type terminal struct {
	t   *testing.T
	in  *io.PipeWriter
	out *buffer
	// ended waits for the chat's end, and returns what it ended with; end ends the input first.
	ended, end func() error
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
		if err := term.end(); err != nil {
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

// What somebody writes is shown once, and does not steer the terminal.
func TestTextsDoNotSteerTheTerminal(t *testing.T) {
	out := newBuffer()
	r := &room{talk: &talk{out: out}, customer: "ada"}
	m := &goodshipv1.Message{Number: 1, Sender: &goodshipv1.Sender{Persona: &goodshipv1.Persona{DisplayName: "Cap\x1btain"}}, Text: "\x1b[2Jred\u009b1m\r\nüber\ttea 🫖"}
	for range 2 { // a watch may begin with what was listed
		r.message(m)
	}
	if got, want := out.String(), " Cap�tain: �[2Jred�1m�\nüber\ttea 🫖\n"; got[len("00:00"):] != want {
		t.Errorf("got %q, want %q at the end", got, want)
	}
}

// A text stands on the screen as it was typed; but one that was not sent may come from the person's other terminal.
func TestWhatWasTypedHere(t *testing.T) {
	talk := &talk{typed: map[string]int{}}
	said := func(text string, err error) {
		if got := talk.echoed(text, func() error { return err }); !errors.Is(got, err) {
			t.Errorf("%q: got %v, want %v", text, got, err)
		}
	}
	said("Ahoy", nil)
	said("Ahoy", nil)
	said("Ahoy", errNowhere)
	said("Aye", errNowhere)
	said("", nil)
	for _, tc := range []struct {
		text string
		want bool
	}{{"Aye", false}, {"", false}, {"Ahoy", true}, {"Ahoy", true}, {"Ahoy", false}} {
		if got := talk.shown(tc.text); got != tc.want {
			t.Errorf("%q stands there: %v, want %v", tc.text, got, tc.want)
		}
	}
}

func TestHowALineReads(t *testing.T) {
	nine := timestamppb.New(time.Date(2026, 3, 1, 9, 0, 0, 0, time.Local))
	for want, l := range map[string]*goodshipv1.Line{
		"nobody waits": {},
		"3 in line, 2 of them nobody's, the first since 09:00; 1 due soon; 2 late: /next": {Length: 3, UnownedCount: 2, OldestLineTime: nine, AtRiskCount: 1, BrokenCount: 2},
	} {
		if got := lineLine(l); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	waiting, due := goodshipv1.State_STATE_WAITING, &goodshipv1.Promise{DueTime: nine}
	known := &goodshipv1.WaitEstimate{State: goodshipv1.EstimateState_ESTIMATE_STATE_KNOWN, P50: durationpb.New(90 * time.Second), P90: durationpb.New(5 * time.Minute)}
	for want, w := range map[string]*goodshipv1.Wait{
		"nobody waits here":                    {},
		"number 2 in line; an answer by 09:00": {State: waiting, Place: 2, AnswerPromise: due, Estimate: &goodshipv1.WaitEstimate{State: goodshipv1.EstimateState_ESTIMATE_STATE_UNKNOWN}},
		"number 2 in line; an answer by 09:00; half of such waits end within 1m30s, nine of ten within 5m0s of opening time; the desk opens Sun 09:00; or +49 30 1": {
			State: waiting, Place: 2, AnswerPromise: due, Estimate: known, OpenTime: nine, ContactPoints: []*goodshipv1.ContactPoint{{Value: "+49 30 1"}},
		},
		"number 1 in line; an answer by 09:00; half of such waits end within 1m30s, nine of ten within 5m0s": {State: waiting, Place: 1, AnswerPromise: due, Estimate: known},
	} {
		if got := waitLine(w); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
