package rpc

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// allowing allows every origin.
type allowing struct{ Service }

func (allowing) AllowsOrigin(context.Context, string, string) (bool, error) { return true, nil }

// BenchmarkChain measures what a customer's call costs in the chain, without the time that it takes to learn who calls: bare,
// and held to three rates, behind a proxy, from a web page. The two take turns; `x-bare` is the ratio.
func BenchmarkChain(b *testing.B) {
	methods, err := methodsOf(services)
	if err != nil {
		b.Fatal(err)
	}
	validator, err := newValidator(methods)
	if err != nil {
		b.Fatal(err)
	}
	bare := &chain{
		authenticate: func(context.Context) (support.Caller, error) { return ada, nil },
		svc:          allowing{}, rates: newRateLimiter(unlimited(), time.Now),
		methods: methods, validator: validator, calls: newCalls(), log: slog.New(slog.DiscardHandler),
	}
	limits := unlimited()
	limits.RatePerWorkspace, limits.RatePerCaller, limits.RatePerAddress = 1e6, 1e6, 1e6
	held := *bare
	held.rates, held.proxies = newRateLimiter(limits, time.Now), prefixes("10.0.0.0/8", "127.0.0.0/8")

	from := peer.NewContext(b.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}})
	plain := metadata.NewIncomingContext(from, metadata.Pairs("authorization", "Bearer x"))
	page := metadata.NewIncomingContext(from, metadata.Pairs("authorization", "Bearer x", originKey, "https://app.example.com",
		forwardedForKey, "198.51.100.7, 10.0.0.9"))
	info := &grpc.UnaryServerInfo{FullMethod: goodshipv1.ConversationService_GetConversation_FullMethodName}
	request := &goodshipv1.GetConversationRequest{ConversationId: "conv_00000000000000000000000000"}
	next := func(context.Context, any) (any, error) { return request, nil }
	calls := func(c *chain, ctx context.Context) time.Duration {
		start := time.Now()
		for range 1000 {
			if _, err := c.unary(ctx, request, info, next); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	var without, with time.Duration
	for range b.N {
		without += calls(bare, plain)
		with += calls(&held, page)
	}
	b.ReportMetric(float64(with)/float64(without), "x-bare")
	b.ReportMetric(float64(without.Nanoseconds())/float64(1000*b.N), "ns-bare")
	b.ReportMetric(float64(with.Nanoseconds())/float64(1000*b.N), "ns-held")
	b.ReportMetric(0, "ns/op")
}
