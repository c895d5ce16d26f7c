package rpc

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// The headers that say where a call comes from; gRPC has metadata of the same names.
const (
	forwardedForKey = "x-forwarded-for"
	originKey       = "origin"
)

// arrival is where a call comes from, as far as its transport can tell.
type arrival struct {
	// address is the caller's; the zero Addr if it came over something that has none, like a Unix socket.
	address netip.Addr
	// origins are the values of the header `Origin`: none, unless the caller is a web page, and then one.
	origins []string
}

type arrivalKey struct{}

// arrived returns where an HTTP request comes from. It is told by the request itself, before the gateway makes metadata
// of what it holds.
func (p proxies) arrived(r *http.Request) arrival {
	return arrival{p.caller(parseAddress(r.RemoteAddr), r.Header.Values(forwardedForKey)), r.Header.Values(originKey)}
}

// arrivalOf returns where a call comes from, over REST or gRPC. The metadata of a REST call is the gateway's own word.
func (p proxies) arrivalOf(ctx context.Context) arrival {
	if client := inprocgrpc.ClientContext(ctx); client != nil {
		a, _ := client.Value(arrivalKey{}).(arrival)
		return a
	}
	from := peerOf(ctx)
	if p.trust(from) {
		from = p.caller(from, metadata.ValueFromIncomingContext(ctx, forwardedForKey))
	}
	return arrival{from, metadata.ValueFromIncomingContext(ctx, originKey)}
}

// peerOf returns the address at the other end of a gRPC connection, or the zero Addr.
func peerOf(ctx context.Context) netip.Addr {
	if from, ok := peer.FromContext(ctx); ok && from.Addr != nil {
		return addressOf(from.Addr)
	}
	return netip.Addr{}
}

// proxies are the addresses of machines that are believed when they say for whom they forward a call.
type proxies []netip.Prefix

func (p proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// caller returns the address behind a peer. Each proxy appends whom it had the call from, so the headers are read from
// the right for as long as a proxy says it; beyond the first that is none, anybody may have written anything. What is no
// address ends the reading at the last good one.
func (p proxies) caller(from netip.Addr, forwardedFor []string) netip.Addr {
	for _, header := range slices.Backward(forwardedFor) {
		for more := true; more; {
			if !p.trust(from) {
				return from
			}
			var last string
			if i := strings.LastIndexByte(header, ','); i >= 0 {
				header, last = header[:i], header[i+1:]
			} else {
				last, more = header, false
			}
			before := parseAddress(strings.TrimSpace(last))
			if !before.IsValid() {
				return from
			}
			from = before
		}
	}
	return from
}

// parseAddress returns the address of what a header or net/http says, with a port or without, or the zero Addr.
func parseAddress(s string) netip.Addr {
	if a, err := netip.ParseAddr(s); err == nil {
		return plain(a)
	}
	a, _ := netip.ParseAddrPort(s)
	return plain(a.Addr())
}

// addressOf returns the address of a socket, or the zero Addr.
func addressOf(a net.Addr) netip.Addr {
	if bound, ok := a.(boundAddr); ok {
		a = bound.Addr
	}
	if tcp, ok := a.(*net.TCPAddr); ok {
		return plain(tcp.AddrPort().Addr())
	}
	return parseAddress(a.String())
}

// plain is an address in the one form that it is compared in: IPv4 as IPv4, and of no interface.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// household is what is counted as one address: an IPv4 address, or the /64 of IPv6 that one customer of a provider has
// at least, and can take any address of. Who has a /56 counts for up to 256: where providers give less, to count it as one
// would make strangers share a limit.
func household(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	network, _ := a.Prefix(64) // no address is shorter
	return network.Addr()
}
