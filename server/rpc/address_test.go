package rpc

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(s ...string) proxies {
	var p proxies
	for _, one := range s {
		p = append(p, netip.MustParsePrefix(one))
	}
	return p
}

// What is counted as the caller's address, by who the peer is and what the headers say. Believed from the wrong peer, they
// let anybody be anybody (FreeScout, CVE-2026-107393).
func TestTheAddressBehindAPeer(t *testing.T) {
	trusted := prefixes("10.0.0.0/8", "192.168.7.1/32", "fd00::/8")
	for _, c := range []struct {
		name, peer string
		headers    []string
		want       string
	}{
		{"no proxy", "203.0.113.5", nil, "203.0.113.5"},
		{"a stranger's word", "203.0.113.5", []string{"198.51.100.1"}, "203.0.113.5"},
		{"a stranger who names a proxy", "203.0.113.5", []string{"198.51.100.1, 10.0.0.1"}, "203.0.113.5"},
		{"a proxy that says nothing", "10.0.0.1", nil, "10.0.0.1"},
		{"a proxy", "10.0.0.1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"what the caller made up stands on the left", "10.0.0.1", []string{"1.1.1.1, 2.2.2.2, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1", []string{"1.1.1.1, 198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		{"proxies of two networks", "192.168.7.1", []string{"198.51.100.1,fd00::7 ,10.9.9.9"}, "198.51.100.1"},
		{"nobody but proxies", "10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"a header a proxy", "10.0.0.1", []string{"1.1.1.1", "198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"with ports", "10.0.0.1", []string{"198.51.100.1:4711, 10.0.0.2:80"}, "198.51.100.1"},
		{"IPv6", "fd00::1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 with a port", "fd00::1", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"IPv4 as IPv6", "::ffff:10.0.0.1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"garbage", "10.0.0.1", []string{"unknown"}, "10.0.0.1"},
		{"garbage before good", "10.0.0.1", []string{"198.51.100.1, _hidden, 10.0.0.2"}, "10.0.0.2"},
		{"nothing between commas", "10.0.0.1", []string{"198.51.100.1,,10.0.0.2"}, "10.0.0.2"},
		{"empty", "10.0.0.1", []string{""}, "10.0.0.1"},
		{"an empty header among others", "10.0.0.1", []string{"198.51.100.1", ""}, "10.0.0.1"},
		{"an address in a zone", "10.0.0.1", []string{"fe80::1%eth0"}, "fe80::1"},
		{"a Unix socket has none to be trusted by", "", []string{"198.51.100.1"}, ""},
	} {
		from, _ := netip.ParseAddr(c.peer)
		want, _ := netip.ParseAddr(c.want)
		if got := trusted.caller(plain(from), c.headers); got != want {
			t.Errorf("%s: %v behind %v, %q; want %v", c.name, got, from, c.headers, want)
		}
	}
}

func TestTheAddressOfASocket(t *testing.T) {
	for _, c := range []struct {
		socket net.Addr
		want   netip.Addr
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, netip.MustParseAddr("127.0.0.1")},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1}, netip.MustParseAddr("fe80::1")},
		{&net.IPAddr{IP: net.ParseIP("2001:db8::1")}, netip.MustParseAddr("2001:db8::1")},
		{&net.UnixAddr{Name: "/run/goodship.sock", Net: "unix"}, netip.Addr{}},
		{&net.UnixAddr{Net: "unix"}, netip.Addr{}},
	} {
		if got := addressOf(c.socket); got != c.want {
			t.Errorf("%v: got %v, want %v", c.socket, got, c.want)
		}
	}
}

func TestAHouseholdIsAnIPv4AddressOrASlash64(t *testing.T) {
	for a, want := range map[string]string{
		"203.0.113.5":          "203.0.113.5",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::",
		"2001:db8:1:2:ffff::":  "2001:db8:1:2::",
		"2001:db8:1:3:3:4:5:6": "2001:db8:1:3::",
		"::1":                  "::",
	} {
		if got := household(netip.MustParseAddr(a)); got != netip.MustParseAddr(want) {
			t.Errorf("%s: got %v, want %s", a, got, want)
		}
	}
	if got := household(netip.Addr{}); got.IsValid() {
		t.Errorf("of no address: %v", got)
	}
}

// Whatever the headers hold: the address is the peer, or one that stands in them, and all to the right of it are proxies.
func FuzzForwardedFor(f *testing.F) {
	f.Add("10.0.0.1", "1.1.1.1, 198.51.100.1", "10.0.0.2")
	f.Add("10.0.0.1", "[2001:db8::1]:80,,", "::ffff:10.0.0.2, x")
	f.Add("203.0.113.5", "10.0.0.1", "")
	trusted := prefixes("10.0.0.0/8", "fd00::/8")
	f.Fuzz(func(t *testing.T, peer, first, second string) {
		from := parseAddress(peer)
		got := trusted.caller(from, []string{first, second})
		if got == from {
			return
		}
		if !trusted.trust(from) {
			t.Fatalf("a stranger, %v, is believed to be %v", from, got)
		}
		names := strings.Split(first+","+second, ",")
		for i := len(names) - 1; i >= 0; i-- {
			name := parseAddress(strings.TrimSpace(names[i]))
			if name == got && got.IsValid() {
				return
			}
			if !trusted.trust(name) {
				break
			}
		}
		t.Fatalf("%v is not said by %q, %q", got, first, second)
	})
}
