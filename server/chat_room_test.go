package main

import (
	"io"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

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
	talk := &talk{echoes: map[string]int{}, out: io.Discard}
	said := func(text string, errs ...error) {
		talk.queue = []*line{talk.newLine(text)}
		for _, err := range errs {
			talk.echoed(talk.queue[0], text)
			if got := talk.done(err); got != nil {
				t.Error(got)
			}
		}
	}
	said("Ahoy", nil)
	said("Ahoy", nil)
	said("Ahoy", errNowhere)
	said("Aye", errNowhere)
	said("", nil)
	said("There", status.Error(codes.Unavailable, "away"), nil)
	for _, tc := range []struct {
		text string
		want bool
	}{{"Aye", false}, {"", false}, {"Ahoy", true}, {"Ahoy", true}, {"Ahoy", false}, {"There", true}, {"There", false}} {
		if got := talk.shown(tc.text); got != tc.want {
			t.Errorf("%q stands there: %v, want %v", tc.text, got, tc.want)
		}
	}
}

// A line answers what was seen when it was typed, however late it is sent; in a conversation that was entered since, what is there.
func TestWhatALineAnswers(t *testing.T) {
	here, there := &room{}, &room{}
	here.seen.Store(3)
	there.seen.Store(7)
	l := (&talk{room: here}).newLine("Aye")
	here.seen.Store(4)
	for _, tc := range []struct {
		in   *room
		want int32
	}{{here, 3}, {nil, 3}, {there, 7}} {
		if l.in(tc.in); l.seen != tc.want {
			t.Errorf("got %d, want %d", l.seen, tc.want)
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
