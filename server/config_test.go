package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/goodship/goodship/server/rpc"
)

// model returns what the command line can say, and the flags of serving.
func model(t *testing.T) (root *kong.Application, serving []*kong.Flag) {
	t.Helper()
	parser, err := newParser(&program{}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range parser.Model.DefaultCmd.AllFlags(true) {
		serving = append(serving, flags...)
	}
	serving = slices.DeleteFunc(serving, func(f *kong.Flag) bool { return f.Name == "help" || f.Name == "version" })
	// The command's own come first in AllFlags; the folder, which every command has, is the first in the document.
	slices.SortStableFunc(serving, func(a, b *kong.Flag) int { return order(a) - order(b) })
	return parser.Model, serving
}

// order is 0 for a flag of every command and 1 for one of serving.
func order(f *kong.Flag) int {
	if f.Group == nil {
		return 0
	}
	return 1
}

// TestOperatingListsTheFlags holds the table of docs/operating.md to the flags as they are.
func TestOperatingListsTheFlags(t *testing.T) {
	text, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `--") {
			got = append(got, strings.TrimSuffix(line, "\n"))
		}
	}
	var want []string
	_, flags := model(t)
	for _, f := range flags {
		standard, help := "", f.Help
		if f.Default != "" {
			standard = "`" + f.Default + "`"
			help = strings.Replace(help, "; "+f.Default+" by default", "", 1)
		}
		want = append(want, fmt.Sprintf("| `--%s` | `%s` | %s | %s |", f.Name, strings.Join(f.Envs, " "), standard, help))
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/operating.md does not list the flags as they are:\n%s", strings.Join(want, "\n"))
	}
}

// TestOperatingNamesTheCommands holds the commands of docs/operating.md to those that there are.
func TestOperatingNamesTheCommands(t *testing.T) {
	text, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	root, _ := model(t)
	for _, command := range root.Leaves(true) {
		if name := command.Path(); name != "serve" && !strings.Contains(string(text), "| `"+name) {
			t.Errorf("docs/operating.md lacks the command %s", name)
		}
	}
}

// Each flag of serving has a variable that reads like it, and says what it is by default.
func TestFlagsAreAlike(t *testing.T) {
	_, flags := model(t)
	for _, f := range flags {
		if want := "GOODSHIP_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")); !slices.Equal(f.Envs, []string{want}) {
			t.Errorf("--%s has the variables %v, want %s", f.Name, f.Envs, want)
		}
		if f.Default != "" && !strings.HasSuffix(f.Help, "; "+f.Default+" by default.") {
			t.Errorf("--%s does not say that it is %s by default: %q", f.Name, f.Default, f.Help)
		}
	}
}

func TestDefaultsAreThoseOfTheServer(t *testing.T) {
	var p program
	parser, err := newParser(&p, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if got, want := p.Serve.Limits, rpc.DefaultLimits(); got != want {
		t.Errorf("without flags the limits are %+v, want %+v", got, want)
	}
	if got, want := (rpc.Addresses{GRPC: p.Serve.GRPCAddress, REST: p.Serve.RESTAddress, Admin: p.Serve.AdminAddress}), (rpc.Addresses{GRPC: "127.0.0.1:9090", REST: "127.0.0.1:8080", Admin: "127.0.0.1:9091"}); got != want {
		t.Errorf("without flags the addresses are %+v, want %+v", got, want)
	}
}

// A proxy's address is a network of one.
func TestANetworkMayBeAnAddress(t *testing.T) {
	var p program
	parser, err := newParser(&p, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"--trusted-proxies", "10.0.0.1,10.1.0.0/16,fd00::1"}); err != nil || fmt.Sprint(p.Serve.TrustedProxies) != "[10.0.0.1/32 10.1.0.0/16 fd00::1/128]" {
		t.Errorf("got %v, %v", p.Serve.TrustedProxies, err)
	}
}

// What the help says of no limit works as it is typed.
func TestARateMayBeUnlimited(t *testing.T) {
	for _, args := range [][]string{{"--rate-per-caller", "-1"}, {"--rate-per-caller=-1"}} {
		var p program
		parser, err := newParser(&p, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(args); err != nil || p.Serve.Limits.RatePerCaller != -1 {
			t.Errorf("%v: %v, and the rate is %v", args, err, p.Serve.Limits.RatePerCaller)
		}
	}
}
