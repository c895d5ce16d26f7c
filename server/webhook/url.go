package webhook

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// longestURL is how many bytes a URL may have.
const longestURL = 2048

// local are the ends of names that are found in a machine's own network only, and names of clouds' metadata.
var local = []string{
	"localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa", "in-addr.arpa", "ip6.arpa", "svc", "consul", "onion",
	"metadata.azure.com", "metadata.tencentyun.com", "metadata.platformequinix.com", "metadata.packet.net",
}

// CheckURL returns an error that says what to do, to be read after the name of a field, unless messages may be sent to a URL. What
// the name leads to is looked at when something is sent.
func CheckURL(raw string, o Options) error {
	if len(raw) > longestURL {
		return errors.New("must have at most 2,048 bytes")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return errors.New("must be a URL such as https://example.com/goodship")
	}
	switch {
	case u.Scheme == "http" && !o.AllowHTTP:
		return errors.New("must begin with https://: this server sends nothing unencrypted, unless its operator starts it with --webhook-http")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("must begin with https://")
	case u.User != nil:
		return errors.New("must not hold a user or a password: webhooks are signed instead")
	case strings.Contains(raw, "#"):
		return errors.New("must not have a fragment (what follows #): it would not be sent")
	}
	if err := o.checkHost(u.Hostname()); err != nil {
		return err
	}
	return o.checkPort(u)
}

// checkHost holds a host to be the full name of a public one, unless other networks may be reached.
func (o Options) checkHost(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		if o.allows(a) {
			return nil
		}
		return errors.New("must name a host, not an address, unless the server's operator allows its network with --webhook-networks")
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if !isLabel(l) {
			return errors.New("must name a host in letters, digits and hyphens; write other letters in punycode (xn--…)")
		}
	}
	switch last := labels[len(labels)-1]; {
	case len(name) > 253:
		return errors.New("must name a host of at most 253 characters")
	case last[0] >= '0' && last[0] <= '9': // as addresses are written: 127.1, 0x7f000001
		return errors.New("must name a host, not an address")
	case len(o.AllowAddresses) > 0:
		return nil
	case len(labels) == 1, isLocal(name):
		return errors.New("must name a host of the public internet, in full, unless the server's operator allows other networks with --webhook-networks")
	}
	return nil
}

// isLabel says whether a text is one part of a host's name.
func isLabel(l string) bool {
	ok := len(l) > 0 && len(l) <= 63 && l[0] != '-' && l[len(l)-1] != '-'
	for i := range len(l) {
		c := l[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	return ok
}

func isLocal(name string) bool {
	for _, end := range local {
		if name == end || strings.HasSuffix(name, "."+end) {
			return true
		}
	}
	return false
}

// checkPort holds a port to be one of the web's, unless other networks may be reached: then it is looked at with the address.
func (o Options) checkPort(u *url.URL) error {
	port := u.Port()
	if port == "" && strings.HasSuffix(u.Host, ":") {
		return errors.New("must not end its host with a colon: leave the port out, or write 443")
	}
	if port == "" || isWebPort(port) || len(o.AllowAddresses) > 0 {
		return nil
	}
	return errors.New("must be on port 443 or 80, unless the server's operator allows other networks with --webhook-networks")
}

func isWebPort(port string) bool { return port == "443" || port == "80" }
