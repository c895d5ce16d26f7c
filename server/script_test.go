package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata/script run the program as people do. $GOODSHIP_DATA is $WORK/data. Beside the commands of
// testscript they have
//
//	serve [flag...]    starts a server on free ports and waits until it serves; stdout is what it showed
//	end                stops it in order; stderr is its log
//	keep NAME regexp   sets the variable to what the expression's group matches in stdout
//	lines n            stderr has n lines
//	mode file octal    the file has these permissions
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"serve": func(ts *testscript.TestScript, _ bool, args []string) {
		s := ts.Value(scripted{}).(*scripted)
		s.serve(args...)
		_, _ = fmt.Fprint(ts.Stdout(), s.server.stdout)
	},
	"end": func(ts *testscript.TestScript, _ bool, _ []string) {
		s := ts.Value(scripted{}).(*scripted)
		ts.Check(s.server.stop())
		_, _ = fmt.Fprint(ts.Stderr(), s.server.stderr)
	},
	"keep": func(ts *testscript.TestScript, _ bool, args []string) {
		found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
		if found == nil {
			ts.Fatalf("stdout has no %s", args[1])
		}
		ts.Setenv(args[0], found[1])
	},
	"lines": func(ts *testscript.TestScript, _ bool, args []string) {
		if n := len(regexp.MustCompile(`\n`).FindAllString(ts.ReadFile("stderr"), -1)); strconv.Itoa(n) != args[0] {
			ts.Fatalf("stderr has %d lines", n)
		}
	},
	"mode": func(ts *testscript.TestScript, _ bool, args []string) {
		info, err := os.Stat(ts.MkAbs(args[0]))
		ts.Check(err)
		if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[1] {
			ts.Fatalf("%s has mode %s", args[0], got)
		}
	},
}

// scripted is what a script has. The zero value is its key.
type scripted struct {
	env    *testscript.Env
	server *running
}

func (s *scripted) serve(flags ...string) {
	s.server = start(s.env.T().(testing.TB), s.env.Getenv("GOODSHIP_DATA"), flags...)
	stop := s.server.stop
	s.env.Defer(func() { _ = stop() })
}

func TestScripts(t *testing.T) { runScripts(t, "once", func(*scripted) {}) }

// A command that works beside a server is run beside one, and with the folder to itself.
func TestCommandsBesideAServer(t *testing.T) {
	runScripts(t, "both", func(s *scripted) { s.serve() })
}

func TestCommandsWithoutAServer(t *testing.T) {
	runScripts(t, "both", func(s *scripted) {
		s.serve()
		if err := s.server.stop(); err != nil {
			s.env.T().Fatal(err)
		}
	})
}

// runScripts runs the scripts in a folder. first is done before each.
func runScripts(t *testing.T, folder string, first func(*scripted)) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:  filepath.Join("testdata", "script", folder),
		Cmds: scriptCommands,
		Setup: func(env *testscript.Env) error {
			bin := filepath.Join(env.WorkDir, ".bin")
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("GOODSHIP_DATA", filepath.Join(env.WorkDir, "data"))
			env.Setenv(asServer, "1")
			env.Setenv("GORACE", quickExit)
			s := &scripted{env: env}
			env.Values[scripted{}] = s
			first(s)
			if err := os.Mkdir(bin, 0o700); err != nil {
				return err
			}
			return os.Symlink(program, filepath.Join(bin, "server"))
		},
	})
}
