package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The arrows of design.md, section 7: main → rpc → support → store ← store/bolt ← main; support, rpc → fault.

const module = "github.com/goodship/goodship/"

// pkg is a package as `go list` tells of it, with the names of ours cut to their path in the module.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	all := map[string]pkg{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(p.ImportPath, module)] = p
	}
	return all
}

// within reports whether a package is one of those named, or below one that ends in `/...`.
func within(path string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		below, ok := strings.CutSuffix(name, "/...")
		return path == name || ok && (path == below || strings.HasPrefix(path, below+"/"))
	})
}

// arrows are which packages of ours a package may import beside gen/. One that is not here imports none.
var arrows = map[string][]string{
	"examples/page":          {"client"},
	"examples/webhook":       {"client"},
	"server":                 {"client", "server/rpc", "server/support", "server/store/bolt", "server/telemetry", "server/webhook"},
	"server/rpc":             {"server/support", "server/fault"},
	"server/support":         {"server/support/apology", "server/support/estimate", "server/support/recovery", "server/support/rules", "server/store", "server/fault", "server/webhook"},
	"server/support/apology": {"server/support/rules"},
	"server/support/rules":   {"server/fault"},
	"server/store/bolt":      {"server/store"},
	"server/store/memory":    {"server/store"},
	"server/store/storetest": {"server/faketime", "server/store", "server/store/memory"},
	"server/servertest":      {"server/rpc", "server/support", "server/store/bolt"},
}

func TestArrows(t *testing.T) {
	for path, p := range packages(t) {
		for _, i := range p.Imports {
			ours, ok := strings.CutPrefix(i, module)
			if !ok || strings.HasPrefix(ours, "gen/") {
				continue
			}
			if !slices.Contains(arrows[path], ours) {
				t.Errorf("%s imports %s", path, ours)
			}
		}
	}
}

// client is a package of its own: only its tests may know the server.
func TestTheClientKnowsNoServer(t *testing.T) {
	for path, p := range packages(t) {
		if !within(path, []string{"client/..."}) {
			continue
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, module+"server") {
				t.Errorf("%s imports %s", path, i)
			}
		}
	}
}

// only are imports from outside the module that some packages alone may have.
var only = []struct {
	what, why string
	importers []string
}{
	{"go.etcd.io/bbolt/...", "only its engine imports a driver", []string{"server/store/bolt"}},
	{"google.golang.org/grpc/...", "the store and its engines know no transport", []string{"server", "server/rpc", "server/processtest", "server/servertest", "server/support/...", "server/fault", "gen/...", "client/...", "tools/..."}},
	{"net/http", "only rpc speaks HTTP, and webhook to others; telemetry gives rpc what to answer", []string{"examples/...", "server/rpc", "server/servertest", "server/telemetry", "server/webhook", "gen/...", "client/..."}},
	{"github.com/grpc-ecosystem/grpc-gateway/...", "only rpc is a gateway", []string{"server/rpc", "gen/...", "tools/..."}},
	{"go.opentelemetry.io/otel/sdk/...", "only telemetry sets OpenTelemetry up, the others know its API", []string{"server/telemetry"}},
	{"go.opentelemetry.io/otel/exporters/...", "only telemetry sends anything away", []string{"server/telemetry"}},
	{"testing", "tests are no part of the server", []string{"server/processtest", "server/servertest", "server/store/storetest"}},
}

func TestOnlySomeImportWhatTheyNeed(t *testing.T) {
	for path, p := range packages(t) {
		for _, i := range p.Imports {
			for _, rule := range only {
				if within(i, []string{rule.what}) && !within(path, rule.importers) {
					t.Errorf("%s imports %s: %s", path, i, rule.why)
				}
			}
		}
	}
}

// The pure rules know time, protos, faults and a table of currencies, and nothing that could do something.
func TestRulesArePure(t *testing.T) {
	allowed := []string{"google.golang.org/protobuf/...", "google.golang.org/grpc/codes", "google.golang.org/genproto/googleapis/rpc/errdetails", "google.golang.org/genproto/googleapis/type/money", "golang.org/x/text/currency", module + "gen/...", module + "server/fault"}
	impure := []string{"context", "os/...", "net/...", "sync/...", "log/...", "io/fs", "math/rand/...", "crypto/rand", "database/...", "syscall", "unsafe", "runtime/..."}
	p, ok := packages(t)["server/support/rules"]
	if !ok {
		t.Fatal("there is no server/support/rules")
	}
	for _, i := range p.Imports {
		std := !strings.Contains(strings.SplitN(i, "/", 2)[0], ".")
		if std && within(i, impure) || !std && !within(i, allowed) {
			t.Errorf("server/support/rules imports %s", i)
		}
	}
}

// A package for tests that the server imported would be linked into it.
func TestTestPackagesAreImportedByTestsOnly(t *testing.T) {
	for path, p := range packages(t) {
		for _, i := range p.Imports {
			name := i[strings.LastIndexByte(i, '/')+1:]
			if strings.HasPrefix(i, module) && (strings.HasSuffix(name, "test") || name == "faketime" || i == module+"server/store/memory") && path != "server/store/storetest" {
				t.Errorf("%s imports %s", path, i)
			}
		}
	}
}

// The rules above hold packages that exist: a renamed one would be held to nothing.
func TestTheRulesNamePackagesThatExist(t *testing.T) {
	all := packages(t)
	for path, targets := range arrows {
		for _, name := range append(targets, path) {
			if _, ok := all[name]; !ok {
				t.Errorf("there is no %s", name)
			}
		}
	}
}
