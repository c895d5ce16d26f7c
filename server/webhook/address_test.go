package webhook

import (
	"net/netip"
	"strings"
	"testing"
)

// A column of the registries and of clouds' metadata, with the first and last address of a network where it has a bound that
// matters.
func TestOnlyAddressesOfThePublicInternetAreReached(t *testing.T) {
	hostile := strings.Fields(`
		0.0.0.0 0.1.2.3 0.255.255.255
		10.0.0.0 10.1.2.3 10.255.255.255
		100.64.0.0 100.100.100.200 100.127.255.255
		127.0.0.1 127.0.0.53 127.255.255.254
		168.63.129.16
		169.254.0.1 169.254.169.254 169.254.170.2 169.254.255.255
		172.16.0.1 172.17.0.1 172.31.255.255
		192.0.0.1 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.1 192.168.255.255 192.175.48.1
		198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
		224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
		:: ::1 ::7f00:1 ::8.8.8.8
		::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:10.0.0.1
		64:ff9b::10.0.0.1 64:ff9b::8.8.8.8 64:ff9b:1::1 64:ff9b:1:ffff::a9fe:a9fe
		100::1 2001::1 2001:0:7f00:1:: 2001:2::1 2001:10::1 2001:20::1 2001:1ff:ffff::1 2001:db8::1
		2002:7f00:1:: 2002:a00:1::1 2002:808:808::1 2620:4f:8000::1 3fff::1 3fff:fff::1 5f00::1
		fc00::1 fd00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1
		2606:4700::1111%eth0 4000::1 e000::1
	`)
	for _, a := range hostile {
		if addr := netip.MustParseAddr(a); isPublic(addr) {
			t.Errorf("%s is taken for public", a)
		} else if err := (Options{}).mayReach(addr, "443"); err == nil {
			t.Errorf("%s may be reached", a)
		}
	}
	public := strings.Fields(`
		1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17
		169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
		::ffff:8.8.8.8 2001:200::1 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1 2003::1 3ffe::1
	`)
	for _, a := range public {
		if err := (Options{}).mayReach(netip.MustParseAddr(a), "443"); err != nil {
			t.Errorf("%s may not be reached: %v", a, err)
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address is taken for public")
	}
}

// What is allowed is reached on every port, and nothing else is for that.
func TestAllowedNetworks(t *testing.T) {
	o := Options{AllowAddresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/64")}}
	for _, c := range []struct {
		address, port string
		want          bool
	}{
		{"10.1.2.3", "8080", true}, {"::ffff:10.1.2.3", "8080", true}, {"fd00::1", "1", true},
		{"10.2.0.1", "443", false}, {"127.0.0.1", "443", false}, {"169.254.169.254", "80", false}, {"fd00:0:0:1::1", "443", false}, {"fd00::1%eth0", "443", false},
		{"8.8.8.8", "443", true}, {"8.8.8.8", "80", true}, {"8.8.8.8", "8443", false}, {"8.8.8.8", "22", false}, {"8.8.8.8", "", false},
	} {
		if err := o.mayReach(netip.MustParseAddr(c.address), c.port); (err == nil) != c.want {
			t.Errorf("%s port %s: got %v, want it reached: %v", c.address, c.port, err, c.want)
		}
	}
}
