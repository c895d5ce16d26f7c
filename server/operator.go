package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Commands come in as the operator, by gRPC over the socket in the data folder: the server that has the folder answers. If
// none has, the command opens the store and is that server itself, for as long as it takes. The store's own lock sees to it
// that there is never another.

// call does something on a connection whose calls are the operator's.
type call func(context.Context, grpc.ClientConnInterface) error

// asOperator makes a call to whoever has the data folder.
func (p *place) asOperator(ctx context.Context, do call) error {
	if err := p.needStore(); err != nil {
		return err
	}
	if p.isServed(ctx) {
		return p.dialled(ctx, do)
	}
	kept, err := openStore(p.data, bolt.Options{Log: p.warnings()})
	if err != nil {
		if p.isServed(ctx) { // it had only begun to start
			return p.dialled(ctx, do)
		}
		return err
	}
	return errors.Join(p.serving(ctx, kept, do), kept.Close())
}

// needStore keeps a mistyped folder from becoming an empty store.
func (p *place) needStore() error {
	path := filepath.Join(p.data, storeName)
	_, err := os.Stat(path)
	switch lost := bolt.Lost(path); {
	case errors.Is(err, fs.ErrNotExist) && lost != nil:
		return fmt.Errorf("%s: %w", path, lost)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s holds no store: name the data folder with --data, or serve once to begin one", p.data)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the data folder cannot be read: %w; do this as its owner, as whom the server runs", err)
	case err != nil:
		return fmt.Errorf("the data folder cannot be read: %w; choose another with --data", err)
	}
	return nil
}

// warnings is the log of a command without a server.
func (p *place) warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (p *place) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(p.data, socketName))
}

// isServed reports whether a server has the data folder. A socket that a killed one left behind answers nobody.
func (p *place) isServed(ctx context.Context) bool {
	conn, err := p.dial(ctx)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// needNoServer fails if a server has the data folder.
func (p *place) needNoServer(ctx context.Context, why string) error {
	if p.isServed(ctx) {
		return fmt.Errorf("a server has %s: stop it first, %s", p.data, why)
	}
	return nil
}

// serving does something on a store that no server has, as the server that has it meanwhile, for operators alone.
func (p *place) serving(ctx context.Context, kept *bolt.Store, do call) error {
	svc, err := support.New(kept, support.Options{})
	if err != nil {
		return err
	}
	server, err := rpc.New(svc, rpc.Config{Log: p.warnings()})
	if err != nil {
		return err
	}
	l, err := rpc.ListenOperator(ctx, filepath.Join(p.data, socketName))
	if err != nil {
		return err
	}
	until, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- server.Serve(until, &rpc.Listeners{Operator: l}) }()
	err = p.dialled(ctx, do)
	stop()
	return errors.Join(err, <-served)
}

// dialled does something on a connection to the server that has the data folder.
func (p *place) dialled(ctx context.Context, do call) error {
	conn, err := grpc.NewClient("passthrough:///operator",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return p.dial(ctx) }))
	if err != nil {
		return err
	}
	defer conn.Close()
	return plain(do(ctx, conn))
}

var errInterrupted = errors.New("interrupted")

// plain returns the sentence of an error that came from a call.
func plain(err error) error {
	s, ok := status.FromError(err)
	switch {
	case err == nil || !ok:
		return err
	case s.Code() == codes.Canceled:
		return errInterrupted
	case s.Code() == codes.Unavailable && len(s.Details()) == 0:
		return fmt.Errorf("the server went away: %s", s.Message())
	}
	return errors.New(s.Message())
}

// inWorkspace is a command of one workspace.
type inWorkspace struct {
	Workspace string `help:"The workspace, by its id; may be left out while there is one." placeholder:"ID"`
}

// asOperator does something as the operator in the workspace.
func (w *inWorkspace) asOperator(ctx context.Context, p *place, do call) error {
	return p.asOperator(ctx, w.within(do))
}

// within is a call in the workspace.
func (w *inWorkspace) within(do call) call {
	return func(ctx context.Context, conn grpc.ClientConnInterface) error {
		id, err := w.id(ctx, conn)
		if err != nil {
			return err
		}
		return do(metadata.AppendToOutgoingContext(ctx, "goodship-act-for", "workspace/"+id), conn)
	}
}

func (w *inWorkspace) id(ctx context.Context, conn grpc.ClientConnInterface) (string, error) {
	if w.Workspace != "" && !strings.HasPrefix(w.Workspace, "work_") {
		return "", fmt.Errorf("--workspace %s is no workspace's id: `workspaces list` shows them", w.Workspace)
	}
	if w.Workspace != "" {
		return w.Workspace, nil
	}
	all, err := goodshipv1.NewOperatorServiceClient(conn).ListWorkspaces(ctx, &goodshipv1.ListWorkspacesRequest{PageSize: 2})
	switch {
	case err != nil:
		return "", err
	case len(all.Workspaces) == 0:
		return "", errors.New("there is no workspace yet: make one with `workspaces create`")
	case len(all.Workspaces) > 1 || all.NextPageToken != "":
		return "", errors.New("there are several workspaces: say with --workspace which one; `workspaces list` shows them")
	}
	return all.Workspaces[0].Id, nil
}

// pages returns the items of all pages of a list.
func pages[T any](page func(token string) (items []T, next string, err error)) ([]T, error) {
	var all []T
	for token := ""; ; {
		items, next, err := page(token)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		token = next
	}
}

// output is how a command shows what it got.
type output struct {
	JSON bool `help:"Print the reply as JSON, for programs." name:"json"`
}

// show prints a reply as JSON, or else what a person reads.
func (o output) show(p *place, reply proto.Message, text string) error {
	if o.JSON {
		b, err := protojson.Marshal(reply)
		if err != nil {
			return err
		}
		text = string(b) + "\n"
	}
	_, err := io.WriteString(p.stdout, text)
	return err
}

// table is text in columns, the first row its heading.
func table(rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t")) //nolint:errcheck // a Builder never fails
	}
	w.Flush() //nolint:errcheck // a Builder never fails
	return b.String()
}

// instant is a time as people read it, `-` if there is none.
func instant(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Format(time.RFC3339)
}

// label is an enum's value as people read and write it: without its prefix, in lower case, with hyphens.
func label(value fmt.Stringer, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value.String(), prefix)), "_", "-")
}
