package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"text/template"

	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/support"
)

//go:embed welcome.txt
var welcomeText string

var welcomeTemplate = template.Must(template.New("welcome").Parse(welcomeText))

// welcome makes the first workspace of a new store and shows its key, which nothing keeps and nobody can show again. In a
// store that has a workspace it does nothing.
func welcome(ctx context.Context, svc *support.Service, l *rpc.Listeners, stdout io.Writer) error {
	known, err := svc.HasWorkspaces(ctx)
	if err != nil || known {
		return err
	}
	_, key, err := svc.CreateWorkspace(ctx, "My product")
	if err != nil {
		return fmt.Errorf("making the first workspace: %w", err)
	}
	err = welcomeTemplate.Execute(stdout, map[string]string{
		"Key":   key,
		"GRPC":  reachable(l.GRPC),
		"REST":  "http://" + reachable(l.REST),
		"Admin": "http://" + reachable(l.Admin),
	})
	if err != nil {
		return errors.Join(errors.New("the first key could not be shown and is lost: remove the data folder and start again"), err)
	}
	return nil
}

// reachable is an address of a listener that this machine can call: one that listens on every interface has no such name.
func reachable(l net.Listener) string {
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok || !a.IP.IsUnspecified() {
		return l.Addr().String()
	}
	return fmt.Sprintf("127.0.0.1:%d", a.Port)
}
