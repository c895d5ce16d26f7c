package rpc_test

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Each limit has values that no server can keep, and New says which one has.
func TestLimitsThatCannotBe(t *testing.T) {
	kind := reflect.TypeFor[rpc.Limits]()
	for i := range kind.NumField() {
		field := kind.Field(i)
		name := field.Tag.Get("name")
		if name == "" || field.Tag.Get("help") == "" || field.Tag.Get("default") == "" || !strings.HasPrefix(field.Tag.Get("env"), "GOODSHIP_") {
			t.Errorf("%s is no flag", field.Name)
		}
		bad := reflect.New(kind).Elem()
		bad.Set(reflect.ValueOf(rpc.DefaultLimits()))
		bad.Field(i).SetZero()
		_, err := rpc.New(&fake{}, rpc.Config{Limits: bad.Interface().(rpc.Limits)})
		if err == nil || !strings.Contains(err.Error(), name+" is 0") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s of 0: %v", field.Name, err)
		}
	}
	negative := rpc.DefaultLimits()
	negative.ReadTimeout = -time.Second
	if _, err := rpc.New(&fake{}, rpc.Config{Limits: negative}); err == nil || !strings.Contains(err.Error(), "read-timeout is -1s") {
		t.Errorf("a time below 0: %v", err)
	}
	nan := rpc.DefaultLimits()
	nan.RatePerCaller = math.NaN()
	if err := nan.Validate(); err == nil || !strings.Contains(err.Error(), "rate-per-caller is NaN") {
		t.Errorf("a rate that is no number: %v", err)
	}
	if err := rpc.DefaultLimits().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

// A request of exactly the limit passes, one byte more does not.
func TestTheLimitOfARequest(t *testing.T) {
	limits := rpc.DefaultLimits()
	limits.MaxRequestBytes = 4 << 10
	to := serve(t, &fake{}, rpc.Config{Limits: limits})
	const around = len(`{"text":""}`)
	for over, want := range map[int]int{0: 200, 1: 413} {
		body := `{"text":"` + strings.Repeat("x", limits.MaxRequestBytes-around+over) + `"}`
		if resp, answer := rest(t, to, "POST", messages, body, "Goodship-Act-For", "customer/ada"); resp.StatusCode != want {
			t.Errorf("%d bytes over: HTTP %d %s", over, resp.StatusCode, answer)
		}
	}
	for over, want := range map[int]codes.Code{0: codes.OK, 1: codes.ResourceExhausted} {
		req := hello()
		req.Text = ""
		const tagAndLength = 3
		req.Text = strings.Repeat("x", limits.MaxRequestBytes-proto.Size(req)-tagAndLength+over)
		_, err := call(t.Context(), to, "customer/ada", func(ctx context.Context, c grpc.ClientConnInterface) (*goodshipv1.Message, error) {
			return goodshipv1.NewMessageServiceClient(c).SendMessage(ctx, req)
		})
		if proto.Size(req) != limits.MaxRequestBytes+over || status.Code(err) != want {
			t.Errorf("%d bytes over: %v", over, err)
		}
	}
}
