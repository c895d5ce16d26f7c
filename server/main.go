// Command server is Goodship: gRPC, the same as REST, and a listener for operators, over one file in one folder.
//
//	go run ./server
//
// serves with no flags, no files and no other service. The first time it makes the folder, a workspace and a key, and shows
// the key once, together with commands to try. It ends on SIGINT or SIGTERM when the calls in flight have ended; a second
// signal ends it at once.
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
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	_ "time/tzdata" // opening hours are anywhere, and a machine may have no time zones

	"github.com/alecthomas/kong"
	"github.com/goodship/goodship/server/rpc"
	"github.com/goodship/goodship/server/store/bolt"
	"github.com/goodship/goodship/server/support"
)

// flags are the command's flags. Each has its default here, and its environment variable before that.
type flags struct {
	Data           string `default:"./goodship-data" env:"GOODSHIP_DATA" help:"Folder that holds everything, made if missing; ${default} by default." placeholder:"FOLDER"`
	GRPCAddress    string `default:"127.0.0.1:9090" env:"GOODSHIP_GRPC_ADDRESS" help:"Where gRPC listens; ${default} by default." name:"grpc-address" placeholder:"HOST:PORT"`
	RESTAddress    string `default:"127.0.0.1:8080" env:"GOODSHIP_REST_ADDRESS" help:"Where REST listens; ${default} by default." name:"rest-address" placeholder:"HOST:PORT"`
	AdminAddress   string `default:"127.0.0.1:9091" env:"GOODSHIP_ADMIN_ADDRESS" help:"Where health and readiness listen; ${default} by default." name:"admin-address" placeholder:"HOST:PORT"`
	AcceptRollback bool   `env:"GOODSHIP_ACCEPT_ROLLBACK" help:"Open a file that lost one of its two meta pages, and with it perhaps the newest change."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the next signal does what signals do
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "goodship:", oneLine(err))
		os.Exit(1)
	}
}

// oneLine is an error in a line, whatever it was joined from.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// run serves until the context is done. What a person should see goes to stdout, what happens to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var f flags
	parser, err := kong.New(&f, kong.Name("server"), kong.Description("Goodship keeps support conversations."), kong.Writers(stdout, stderr))
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return fmt.Errorf("%w; --help shows the flags", err)
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))

	// The order is intended: a port in use is found before anything is made, and the store outlives the calls.
	l, err := rpc.Listen(ctx, rpc.Addresses{GRPC: f.GRPCAddress, REST: f.RESTAddress, Admin: f.AdminAddress})
	if err != nil {
		return fmt.Errorf("%w; --grpc-address, --rest-address and --admin-address take HOST:PORT", err)
	}
	err = serve(ctx, f, l, stdout, log)
	return errors.Join(err, l.Close())
}

// serve opens the store and serves it on the listeners.
func serve(ctx context.Context, f flags, l *rpc.Listeners, stdout io.Writer, log *slog.Logger) (err error) {
	if err := makeFolder(f.Data, log); err != nil {
		return err
	}
	kept, err := bolt.Open(filepath.Join(f.Data, "goodship.db"), bolt.Options{AcceptRollback: f.AcceptRollback, Log: log})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the data folder %s is not writable: change its owner, or choose another with --data: %w", f.Data, err)
	} else if errors.Is(err, bolt.ErrRollback) {
		return fmt.Errorf("%w: start with --accept-rollback", err)
	} else if err != nil {
		return fmt.Errorf("%w; --data chooses another folder", err)
	}
	defer func() { err = errors.Join(err, kept.Close()) }()

	svc := support.New(kept)
	server, err := rpc.New(svc, rpc.Config{Log: log})
	if err != nil {
		return err
	}
	if err := welcome(ctx, svc, l, stdout); err != nil {
		return err
	}
	warnOfStrangers(l, log)
	log.Info("serving", "data", f.Data, "grpc", l.GRPC.Addr(), "rest", l.REST.Addr(), "admin", l.Admin.Addr())
	if err := server.Serve(ctx, l); err != nil {
		return err
	}
	log.Info("stopped: every call in flight has ended")
	return nil
}

// makeFolder makes the data folder, for its owner alone.
func makeFolder(folder string, log *slog.Logger) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("the data folder cannot be made: %w; choose another with --data", err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("the data folder cannot be read: %w; choose another with --data", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		log.Warn("others than the owner may look into the data folder: chmod 700 it", "data", folder, "mode", info.Mode().Perm().String())
	}
	return nil
}

// warnOfStrangers tells that credentials cross a network in the clear, unless something before the server encrypts them.
func warnOfStrangers(l *rpc.Listeners, log *slog.Logger) {
	for name, listener := range map[string]net.Listener{"grpc": l.GRPC, "rest": l.REST, "admin": l.Admin} {
		if a, ok := listener.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
			log.Warn("listening beyond this machine without TLS: put a proxy in front that has it", "listener", name, "address", a.String())
		}
	}
}
