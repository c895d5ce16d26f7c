package processtest

import (
	"bytes"
	"io"
	"sync"
)

// output is what the process writes.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	serving chan struct{}
	once    sync.Once
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.buf.Write(p)
	if bytes.Contains(o.buf.Bytes(), []byte("msg=serving")) {
		o.once.Do(func() { close(o.serving) })
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
