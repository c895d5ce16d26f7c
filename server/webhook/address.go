package webhook

import "net/netip"

// special are the networks that are not the public internet, although they look like it: those of the registries of
// special-purpose addresses (RFC 6890; iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry), and what
// clouds put beside them.
var special = prefixes(
	"0.0.0.0/8",         // this network
	"10.0.0.0/8",        // private
	"100.64.0.0/10",     // shared by carriers (CGNAT); Alibaba's metadata
	"127.0.0.0/8",       // loopback
	"168.63.129.16/32",  // Azure's metadata, a public address by its look
	"169.254.0.0/16",    // link-local; most clouds' metadata
	"172.16.0.0/12",     // private
	"192.0.0.0/24",      // protocols; Oracle's metadata
	"192.0.2.0/24",      // documentation
	"192.31.196.0/24",   // AS112
	"192.52.193.0/24",   // AMT
	"192.88.99.0/24",    // 6to4 relays
	"192.168.0.0/16",    // private
	"192.175.48.0/24",   // AS112
	"198.18.0.0/15",     // benchmarking
	"198.51.100.0/24",   // documentation
	"203.0.113.0/24",    // documentation
	"224.0.0.0/4",       // multicast
	"240.0.0.0/4",       // reserved, broadcast
	"2001::/23",         // protocols: Teredo, benchmarking, ORCHID
	"2001:db8::/32",     // documentation
	"2002::/16",         // 6to4, which leads to any IPv4 address
	"2620:4f:8000::/48", // AS112
	"3fff::/20",         // documentation
)

// global is all of IPv6 that is given out as public. Outside are loopback, unspecified, IPv4-mapped and -compatible, NAT64
// (64:ff9b::/96, 64:ff9b:1::/48), discard, unique local, link-local, site-local, multicast, and what may come.
var global = netip.MustParsePrefix("2000::/3")

func prefixes(all ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(all))
	for i, p := range all {
		parsed[i] = netip.MustParsePrefix(p)
	}
	return parsed
}

// isPublic says whether an address is one of the public internet. An IPv4 address in the form of IPv6, which a resolver gives for
// some, is the IPv4 address; one with a zone, of this machine's networks, is in none.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Is6() && !global.Contains(a) {
		return false
	}
	return !within(a, special)
}

func within(a netip.Addr, networks []netip.Prefix) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// allows says whether an address may be reached whatever it is.
func (o Options) allows(a netip.Addr) bool { return within(a.Unmap(), o.AllowAddresses) }
