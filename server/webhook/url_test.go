package webhook

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		url string
		// want is a part of what is wrong; empty if nothing is.
		want string
	}{
		{"https://example.com", ""},
		{"https://example.com/", ""},
		{"https://example.com/goodship?key=a%20b", ""},
		{"https://example.com:443/goodship", ""},
		{"https://example.com:80/goodship", ""},
		{"https://EXAMPLE.com./goodship", ""},
		{"https://a_b.example.com", ""},
		{"https://xn--bcher-kva.example", ""},
		{"HTTPS://example.com", ""},
		{"https://127.0.0.1.example.com", ""},
		{"https://localhost.example.com", ""},
		{"", "must be a URL"},
		{"example.com", "must be a URL"},
		{"/goodship", "must be a URL"},
		{"https:example.com", "must be a URL"},
		{"https:///goodship", "must be a URL"},
		{"https://exa mple.com", "must be a URL"},
		{"https://example.com\n.evil.example", "must be a URL"},
		{"https://example.com/\x00", "must be a URL"},
		{`https://example.com\@10.0.0.1/`, "must be a URL"},
		{"http://example.com", "must begin with https://: this server sends nothing unencrypted, unless its operator starts it with --webhook-http"},
		{"ftp://example.com", "https://"},
		{"file:///etc/passwd", "must be a URL"},
		{"gopher://example.com", "https://"},
		{"unix://socket", "https://"},
		{"https://ada@example.com", "user"},
		{"https://:secret@example.com", "user"},
		{"https://example.com@10.0.0.1/", "user"},
		{"https://example.com/#part", "fragment"},
		{"https://example.com/#", "fragment"},
		{"https://example.com#@10.0.0.1/", "fragment"},
		{"https://example.com:8443", "port 443 or 80, unless the server's operator allows other networks with --webhook-networks"},
		{"https://example.com:22", "port"},
		{"https://example.com:0443", "port"},
		{"https://example.com:", "port"},
		{"https://8.8.8.8", "not an address, unless the server's operator allows its network with --webhook-networks"},
		{"https://127.0.0.1", "not an address"},
		{"https://127.1", "not an address"},
		{"https://2130706433", "not an address"},
		{"https://0x7f000001", "not an address"},
		{"https://0177.0.0.1", "not an address"},
		{"https://127.0.0.1.", "not an address"},
		{"https://1.2.3.0x4", "not an address"},
		{"https://[::1]", "not an address"},
		{"https://[::ffff:127.0.0.1]:443/", "not an address"},
		{"https://[2606:4700::1111]", "not an address"},
		{"https://[fe80::1%25eth0]", "not an address"},
		{"https://１２７.0.0.1", "punycode"},
		{"https://%31%32%37.0.0.1", "must be a URL"},
		{"https://127。0。0。1", "punycode"},
		{"https://bücher.example", "punycode"},
		{"https://ⓛocalhost", "punycode"},
		{"https://a..example.com", "letters"},
		{"https://.example.com", "letters"},
		{"https://-a.example.com", "letters"},
		{"https://a*.example.com", "letters"},
		{"https://.", "letters"},
		{"https://localhost", "public internet, in full, unless the server's operator allows other networks with --webhook-networks"},
		{"https://LOCALHOST.", "public internet"},
		{"https://a.localhost", "public internet"},
		{"https://metadata", "public internet"},
		{"https://metadata.google.internal", "public internet"},
		{"https://Metadata.Google.Internal./computeMetadata/v1/", "public internet"},
		{"https://instance-data.ec2.internal", "public internet"},
		{"https://metadata.azure.com", "public internet"},
		{"https://kubernetes.default.svc", "public internet"},
		{"https://kubernetes.default.svc.cluster.local", "public internet"},
		{"https://printer.local", "public internet"},
		{"https://router.lan", "public internet"},
		{"https://router.home.arpa", "public internet"},
		{"https://" + strings.Repeat("a", 64) + ".example", "letters"},
		{"https://" + strings.Repeat("a.", 130) + "example", "253"},
		{"https://example.com/" + strings.Repeat("a", 2028), ""},
		{"https://example.com/" + strings.Repeat("a", 2029), "2,048"},
	} {
		switch err := CheckURL(c.url, Options{}); {
		case c.want == "" && err != nil:
			t.Errorf("%q: got %v, want it allowed", c.url, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: got %v, want an error with %q", c.url, err, c.want)
		}
	}
}

func TestURLsWhereMoreIsAllowed(t *testing.T) {
	near := Options{AllowHTTP: true, AllowAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for _, c := range []struct {
		url     string
		options Options
		want    bool
	}{
		{"http://example.com", Options{AllowHTTP: true}, true},
		{"http://localhost", Options{AllowHTTP: true}, false},
		{"http://127.0.0.1", Options{AllowHTTP: true}, false},
		{"http://127.0.0.1:8080/hook", near, true},
		{"http://localhost:8080/hook", near, true},
		{"http://receiver:8080/hook", near, true},
		{"http://10.0.0.1", near, false},
		{"http://127.1:8080", near, false},
		{"http://ada@127.0.0.1", near, false},
		{"http://[::1]:8080", near, false},
	} {
		if err := CheckURL(c.url, c.options); (err == nil) != c.want {
			t.Errorf("%q: got %v, want it allowed: %v", c.url, err, c.want)
		}
	}
}

// What is allowed is a host's name that nothing takes for an address, over https, on a port of the web.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/a?b=c", "https://127.0.0.1", "https://0x7f.1", "https://[::1]", "https://a@b", "http://a.example", "https://a.example:8080", "https://%6c%6fcalhost",
		"https://example.com:443@10.0.0.1", "https://localhost.", "https://a.example#b", "https://xn--a.example", "https://a.example:", "https://[fe80::1%25a]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if CheckURL(raw, Options{}) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatalf("%q is allowed: %v", raw, err)
		}
		host := strings.TrimSuffix(u.Hostname(), ".")
		if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
			t.Errorf("%q is allowed: %q is no full name", raw, host)
		}
		if last := host[strings.LastIndexByte(host, '.')+1:]; strings.Trim(last, "0123456789") == "" || strings.EqualFold(last, "localhost") || strings.EqualFold(last, "internal") {
			t.Errorf("%q is allowed: %q", raw, host)
		}
		if u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Port() != "" && u.Port() != "443" && u.Port() != "80" || len(raw) > 2048 {
			t.Errorf("%q is allowed", raw)
		}
		if _, err := (Message{URL: raw}).request(t.Context()); err != nil {
			t.Errorf("%q is allowed, and cannot be sent to: %v", raw, err)
		}
	})
}
