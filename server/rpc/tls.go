package rpc

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// LoadCertificate returns what the server encrypts with: TLS 1.2 or later, and the certificate in two PEM files, of which
// the first may hold the intermediate ones too. Files that change while the server runs, as in place of a certificate
// that expires, are read again with the next connection, at most once a second. A pair that is no good is told to the log
// once, and the last good one stays in use until there is another.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	return loadCertificate(certFile, keyFile, log, time.Now)
}

func loadCertificate(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*tls.Config, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, now: now}
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}, nil
}

// lookEvery is how long a look at the files is good for.
const lookEvery = time.Second

// certificate is a pair of files and what they held when they were last good.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu     sync.Mutex
	looked time.Time
	// seen are the files as they were when they were read last.
	seen [2]fs.FileInfo
	pair *tls.Certificate
}

// get returns the pair for a new connection. It implements tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.looked) >= lookEvery && c.changed() {
		if err := c.load(); err != nil {
			c.log.Error("the new certificate is not used: the last good one stays", "error", err)
		} else {
			c.log.Info("a new certificate is in use", "until", c.pair.Leaf.NotAfter)
		}
	}
	return c.pair, nil
}

// changed reports whether a file is another than the one that was read, or was written since. That one is missing is seen
// once, too.
func (c *certificate) changed() bool {
	c.looked = c.now()
	for i, now := range c.stat() {
		before := c.seen[i]
		switch {
		case now == nil || before == nil:
			if now != before {
				return true
			}
		case !os.SameFile(now, before) || now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime()):
			return true
		}
	}
	return false
}

// stat returns the two files, nil for one that cannot be looked at.
func (c *certificate) stat() (infos [2]fs.FileInfo) {
	for i, file := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(file); err == nil {
			infos[i] = info
		}
	}
	return infos
}

// load takes the pair into use if it is good. It looks at the files before it reads them, so that what is written in
// between is seen as a change.
func (c *certificate) load() error {
	c.looked, c.seen = c.now(), c.stat()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the certificate cannot be read: %w", err)
	case err != nil:
		return fmt.Errorf("%s and %s are no certificate and its key, in PEM: %w", c.certFile, c.keyFile, err)
	case !c.now().Before(pair.Leaf.NotAfter):
		return fmt.Errorf("the certificate in %s expired on %s: put a new one there", c.certFile, pair.Leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	c.pair = &pair
	return nil
}
