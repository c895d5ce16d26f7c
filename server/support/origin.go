package support

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goodship/goodship/server/fault"
)

// originsAge is how long the origins of all workspaces are believed: another node may have changed them.
const originsAge = 5 * time.Second

// origins are those that any workspace lists, as they were read last. A browser asks before it calls, without a credential
// that would name its workspace. Safe for concurrent use.
type origins struct {
	mu   sync.Mutex
	all  map[string]bool // nil if they must be read
	read time.Time       // when they were
}

// forget lets the next question be answered anew.
func (o *origins) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = nil
}

// checkOrigins refuses origins of a form that the proto allows and no browser sends.
func checkOrigins(origins []string) error {
	for i, origin := range origins {
		scheme, rest, _ := strings.Cut(origin, "://")
		_, port, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		field := fmt.Sprintf("workspace.allowed_origins[%d]", i)
		if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
			return fault.Field(field, "must not name the port %s, which browsers leave out of an %s origin", port, scheme)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fault.Field(field, "must have a port of at most 65535")
		}
	}
	return nil
}

// AllowsOrigin reports whether a workspace, or any if it is empty, lists an origin of web pages that may call. Of any, it
// may take five seconds to learn what another node changed.
func (s *Service) AllowsOrigin(ctx context.Context, workspace, origin string) (bool, error) {
	if workspace == "" {
		return s.anyAllowsOrigin(ctx, origin)
	}
	settings, err := s.settings(ctx, workspace)
	if err != nil {
		return false, err
	}
	return slices.Contains(settings.AllowedOrigins, origin), nil
}

// anyAllowsOrigin reads under the lock, so that what is forgotten while it reads is not remembered after.
func (s *Service) anyAllowsOrigin(ctx context.Context, origin string) (bool, error) {
	o, now := &s.origins, s.store.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if age := now.Sub(o.read); o.all != nil && age >= 0 && age < originsAge {
		return o.all[origin], nil
	}
	workspaces, err := s.store.Workspaces(ctx)
	if err != nil {
		return false, err
	}
	o.all, o.read = map[string]bool{}, now
	for _, w := range workspaces {
		for _, listed := range w.Workspace.AllowedOrigins {
			o.all[listed] = true
		}
	}
	return o.all[origin], nil
}
