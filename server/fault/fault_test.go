package fault_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func notFound() *fault.Fault {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_AGENT_NOT_FOUND, "No agent %s; upsert it first.", "jo")
}

// details sorts the details of an error by their types, and fails if a type is there twice.
func details(t *testing.T, err error) (info *errdetails.ErrorInfo, bad *errdetails.BadRequest, retry *errdetails.RetryInfo) {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if info != nil {
				t.Fatal("two ErrorInfo")
			}
			info = d
		case *errdetails.BadRequest:
			bad = d
		case *errdetails.RetryInfo:
			retry = d
		default:
			t.Fatalf("a detail nobody asked for: %T", d)
		}
	}
	if info == nil {
		t.Fatal("no ErrorInfo")
	}
	return info, bad, retry
}

func TestFaultIsAStatusWithOneErrorInfo(t *testing.T) {
	f := notFound().With("agent_id", "jo").With("nothing", "")
	st := status.Convert(f)
	if st.Code() != codes.NotFound || st.Message() != "No agent jo; upsert it first." || f.Error() != st.Message() {
		t.Errorf("got %v %q, error %q", st.Code(), st.Message(), f.Error())
	}
	info, bad, retry := details(t, f)
	if info.GetReason() != "AGENT_NOT_FOUND" || info.GetDomain() != fault.Domain || bad != nil || retry != nil {
		t.Errorf("got %v, %v, %v", info, bad, retry)
	}
	if got := info.GetMetadata(); len(got) != 1 || got["agent_id"] != "jo" {
		t.Errorf("metadata %v, want agent_id alone", got)
	}
}

func TestFaultIsImmutable(t *testing.T) {
	base := notFound().With("agent_id", "jo")
	changed := base.With("agent_id", "al").With("more", "1").RetryAfter(time.Second)
	// Two faults made from one must not share where their details are kept.
	other := base.RetryAfter(2 * time.Second)

	info, _, retry := details(t, base)
	if len(info.GetMetadata()) != 1 || info.GetMetadata()["agent_id"] != "jo" || retry != nil {
		t.Errorf("the first fault became %v, %v", info, retry)
	}
	info, _, retry = details(t, changed)
	if info.GetMetadata()["agent_id"] != "al" || info.GetMetadata()["more"] != "1" || retry.GetRetryDelay().AsDuration() != time.Second {
		t.Errorf("the changed one is %v, %v", info, retry)
	}
	if _, _, retry = details(t, other); retry.GetRetryDelay().AsDuration() != 2*time.Second {
		t.Errorf("the other one is %v", retry)
	}
}

func TestFieldNamesItsField(t *testing.T) {
	f := fault.Field("persona.display_name", "is longer than %d characters", 100)
	info, bad, _ := details(t, f)
	if f.Code() != codes.InvalidArgument || info.GetReason() != "INVALID_REQUEST" {
		t.Errorf("got %v %v", f.Code(), info)
	}
	v := bad.GetFieldViolations()
	if len(v) != 1 || v[0].GetField() != "persona.display_name" || v[0].GetDescription() != "is longer than 100 characters" {
		t.Errorf("violations %v", v)
	}
	if want := "The request is invalid: persona.display_name is longer than 100 characters."; f.Error() != want {
		t.Errorf("got %q, want %q", f, want)
	}
}

func TestIsComparesCodeAndReason(t *testing.T) {
	wrapped := fmt.Errorf("while inviting: %w", notFound().With("agent_id", "jo"))
	if !errors.Is(wrapped, notFound()) {
		t.Error("a wrapped fault is not itself")
	}
	sameReason := fault.New(codes.PermissionDenied, goodshipv1.ErrorReason_ERROR_REASON_AGENT_NOT_FOUND, "No.")
	sameCode := fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_NOTE_NOT_FOUND, "No.")
	if errors.Is(wrapped, sameReason) || errors.Is(wrapped, sameCode) || errors.Is(wrapped, errors.New("no")) {
		t.Error("faults of another code or reason are the same")
	}
}

func TestEveryReasonHasItsNameOnTheWire(t *testing.T) {
	for n := range goodshipv1.ErrorReason_name {
		name := fault.ReasonName(goodshipv1.ErrorReason(n))
		if name == "" || "ERROR_REASON_"+name != goodshipv1.ErrorReason(n).String() {
			t.Errorf("reason %d is %q on the wire", n, name)
		}
	}
}
