package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"text/template"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/support"
)

//go:embed welcome.txt
var welcomeText string

var welcomeTemplate = template.Must(template.New("welcome").Parse(welcomeText))

// welcome makes the first workspace of a new store and shows its key, which nothing keeps and nobody can show again. In a
// store that has a workspace it does nothing.
func welcome(ctx context.Context, svc *support.Service, l *rpc.Listeners, encrypted bool, stdout io.Writer) error {
	known, err := svc.HasWorkspaces(ctx)
	if err != nil || known {
		return err
	}
	operator, err := svc.Operator(ctx, "")
	if err != nil {
		return err
	}
	made, err := svc.CreateWorkspace(support.WithCaller(ctx, operator), &goodshipv1.CreateWorkspaceRequest{DisplayName: "My product"})
	if err != nil {
		return fmt.Errorf("making the first workspace: %w", err)
	}
	plaintext := "-plaintext "
	if encrypted {
		plaintext = ""
	}
	err = welcomeTemplate.Execute(stdout, map[string]string{
		"Key":       made.Secret,
		"GRPC":      reachable(l.GRPC),
		"Plaintext": plaintext,
		"REST":      url(l.REST, encrypted),
		"Admin":     url(l.Admin, encrypted && !onLoopback(l.Admin)), // where it is never encrypted
	})
	if err != nil {
		return errors.Join(errors.New("the first key could not be shown and is lost: make another with `keys create`"), err)
	}
	return nil
}

// url is where HTTP reaches a listener.
func url(l net.Listener, encrypted bool) string {
	if encrypted {
		return "https://" + reachable(l)
	}
	return "http://" + reachable(l)
}

// onLoopback reports whether only this machine reaches a listener.
func onLoopback(l net.Listener) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// reachable is an address of a listener that this machine can call: one that listens on every interface has no such name.
func reachable(l net.Listener) string {
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok || !a.IP.IsUnspecified() {
		return l.Addr().String()
	}
	return fmt.Sprintf("127.0.0.1:%d", a.Port)
}
