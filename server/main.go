// Command server is Goodship: gRPC, the same as REST, and a listener for operators, over one file in one folder.
//
//	go run ./server
//
// serves with no flags, no files and no other service. The first time it makes the folder, a workspace and a key, and shows
// the key once, together with commands to try. It ends on SIGINT, SIGTERM or SIGHUP when the calls in flight have ended; a
// second signal ends it at once.
//
// Its other commands are for who runs it. They ask the server that has the data folder, or do without one (operator.go).
package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	_ "time/tzdata" // opening hours are anywhere, and a machine may have no time zones

	"github.com/alecthomas/kong"
)

// program is all that the command line can say.
type program struct {
	Data string `default:"./goodship-data" env:"GOODSHIP_DATA" help:"Folder that holds everything; made when you first serve; ${default} by default." placeholder:"FOLDER"`

	Version kong.VersionFlag `help:"Show the version."`

	Serve      config     `cmd:"" default:"withargs" help:"Serve, until SIGINT, SIGTERM or SIGHUP. This is what happens without a command."`
	Chat       chat       `cmd:"" help:"Chat in a terminal, as a customer or an agent."`
	Workspaces workspaces `cmd:"" help:"Make and list workspaces."`
	Keys       keys       `cmd:"" help:"Make, list and revoke API keys: what a product's servers and pages come in with."`
	Signing    signing    `cmd:"" help:"Make, list and revoke the keys that sign people's tokens." name:"signing-keys"`
	Tokens     tokens     `cmd:"" help:"Make a token for one person, and end the tokens that one has."`
	Backup     backup     `cmd:"" help:"Write a backup of the store, also while it is served."`
	Restore    restore    `cmd:"" help:"Make the store of a backup. No server may have the data folder."`
	Check      check      `cmd:"" help:"Compare what is stored with itself. It fails if anything is wrong."`
	Compact    compact    `cmd:"" help:"Rewrite the store's file without what was deleted. No server may have the data folder."`
}

// place is where a command is run.
type place struct {
	// data is the data folder.
	data string
	// What a person should see, secrets among it, goes to stdout, what happens to stderr.
	stdin          io.Reader
	stdout, stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	context.AfterFunc(ctx, stop) // the next signal does what signals do
	unsetEmpty()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "goodship:", oneLine(err))
		os.Exit(1)
	}
}

// endings are the signals that end the program in order. One started with nohup hears no SIGHUP.
func endings() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// unsetEmpty makes variables of ours that are set, but empty, count as unset.
func unsetEmpty() {
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); value == "" && strings.HasPrefix(name, "GOODSHIP_") {
			_ = os.Unsetenv(name) // of a name that is set it does not fail
		}
	}
}

// oneLine is an error in a line, whatever it was joined from.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// run does what the arguments say.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var p program
	parser, err := newParser(&p, stdout, stderr)
	if err != nil {
		return err
	}
	chosen, err := parser.Parse(args)
	if err != nil {
		return fmt.Errorf("%w; --help shows the commands, and after a command its flags", err)
	}
	chosen.BindTo(ctx, (*context.Context)(nil))
	return chosen.Run(&place{data: p.Data, stdin: stdin, stdout: stdout, stderr: stderr})
}

func newParser(p *program, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(p,
		kong.Name("server"),
		kong.Description("Goodship keeps support conversations. Without a command it serves: `server serve --help` shows the flags of that, and each has an environment variable."),
		kong.Vars{"version": version()},
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.ExplicitGroups(groups),
		kong.KindMapper(reflect.Float64, kong.MapperFunc(rate)),
		kong.TypeMapper(reflect.TypeFor[netip.Prefix](), kong.MapperFunc(network)),
	)
}

// rate reads a number that may be negative, which kong takes for a flag.
func rate(c *kong.DecodeContext, target reflect.Value) error {
	token := c.Scan.Pop()
	number, err := strconv.ParseFloat(token.String(), 64)
	if err != nil {
		return fmt.Errorf("expected a number but got %q", token)
	}
	target.SetFloat(number)
	return nil
}

// network reads a network, or an address for itself alone.
func network(c *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := c.Scan.PopValueInto("network", &text); err != nil {
		return err
	}
	prefix, err := netip.ParsePrefix(text)
	if address, none := netip.ParseAddr(text); none == nil {
		prefix, err = address.Prefix(address.BitLen())
	}
	target.Set(reflect.ValueOf(prefix))
	return err
}
