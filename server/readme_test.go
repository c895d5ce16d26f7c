package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goodship/goodship/server/servertest"
)

// TestReadme executes the README's tour as printed, each block in turn in one shell, as a reader would paste them.
func TestReadme(t *testing.T) {
	calls := shellBlocks(t, "../README.md", "## A conversation in ten calls")
	page := shellBlocks(t, "../README.md", "## From a page that strangers visit")
	if len(calls) != 14 || len(page) != 3 { // two people are made known, three get tokens, then ten calls, a cursor and a watch
		t.Fatalf("got %d and %d blocks, want 14 and 3", len(calls), len(page))
	}
	blocks := append(calls, page...)
	s := servertest.New(t)
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-x", "-s")
	shell.Env = append(os.Environ(), "GOODSHIP="+s.REST, "KEY="+s.Key)
	shell.Stdin = strings.NewReader(strings.Join(blocks, "\necho; echo '-- next block --'\n"))
	var stdout, stderr bytes.Buffer
	shell.Stdout, shell.Stderr = &stdout, &stderr
	if err := shell.Run(); err != nil {
		t.Fatalf("the blocks failed: %v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	for i, output := range strings.Split(stdout.String(), "-- next block --") {
		if strings.TrimSpace(output) == "" {
			t.Errorf("block %d printed nothing:\n%s", i, blocks[i])
		}
	}
	type conversation struct{ State, Outcome, OwnerID, CustomerID string }
	var list struct{ Conversations []conversation }
	if err := json.Unmarshal([]byte(s.Do("agent/captain", "GET", "/v1/conversations", "").Body), &list); err != nil {
		t.Fatal(err)
	}
	want := []conversation{
		{State: "STATE_WAITING", CustomerID: "lieutenant"}, // the visitor's, who signed in
		{"STATE_RESOLVED", "OUTCOME_CONFIRMED", "captain", "lieutenant"},
	}
	if !slices.Equal(list.Conversations, want) {
		t.Errorf("the tour ends with %+v, want %+v", list.Conversations, want)
	}
}

// TestReadmeLive holds the terminals and the page of the README to what there is: TestChat runs the two terminals, and the
// tests of examples/page the page.
func TestReadmeLive(t *testing.T) {
	blocks := shellBlocks(t, "../README.md", "## See it live")
	if len(blocks) != 3 || blocks[2] != "go run ./examples/page" {
		t.Fatalf("got %q, want two terminals and a page", blocks)
	}
	for _, block := range blocks[:2] {
		args, ok := strings.CutPrefix(block, "go run ./server ")
		parser, err := newParser(&program{}, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(strings.Fields(args)); err != nil || !ok {
			t.Errorf("%s: %v", block, err)
		}
	}
}

// TestReadmeCommands runs the README's commands as printed, against a server that has the data folder.
func TestReadmeCommands(t *testing.T) {
	blocks := shellBlocks(t, "../README.md", "## Run it for others")
	if len(blocks) != 1 {
		t.Fatalf("got %d blocks, want 1", len(blocks))
	}
	data := t.TempDir()
	start(t, data)
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", blocks[0])
	shell.Dir, shell.Env = "..", append(os.Environ(), "GOODSHIP_DATA="+data)
	t.Cleanup(func() { _ = os.Remove("../goodship.backup") })
	out, err := shell.CombinedOutput()
	if info, statErr := os.Stat("../goodship.backup"); err != nil || statErr != nil || info.Size() == 0 || !secret.Match(out) {
		t.Errorf("%v, %v:\n%s", err, statErr, out)
	}
}

// TestReadmeShowsTheExamples holds the README's Go to the examples of the client, which run.
func TestReadmeShowsTheExamples(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../client/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)<!-- go: (\\w+) -->\n\n```go\n(.*?)```").FindAllSubmatch(readme, -1)
	if len(shown) != 2 {
		t.Fatalf("got %d examples, want 2", len(shown))
	}
	for _, m := range shown {
		_, body, _ := strings.Cut(string(source), "\nfunc "+string(m[1])+"() {\n")
		body, _, _ = strings.Cut(body, "\n}\n")
		body, _, _ = strings.Cut(body, "\n\t// Output:")
		body = regexp.MustCompile(`(?m)^\t`).ReplaceAllString(body, "") + "\n"
		if string(m[2]) != body {
			t.Errorf("README.md shows for %s\n%s\nwant what runs:\n%s", m[1], m[2], body)
		}
	}
}

// TestReadmeCallsByGRPC holds the README's grpcurl command to the one that the server prints, which TestTheFirstStart… runs.
func TestReadmeCallsByGRPC(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(welcomeText) {
		if strings.HasPrefix(line, "grpcurl ") {
			if want := strings.NewReplacer("{{.GRPC}}", "127.0.0.1:9090", "{{.Plaintext}}", "-plaintext ").Replace(line); !strings.Contains(string(readme), want) {
				t.Errorf("README.md lacks the command %s", want)
			}
			return
		}
	}
	t.Error("the server prints no grpcurl command")
}

// shellBlocks returns the `sh` blocks of a Markdown file's section.
func shellBlocks(t *testing.T, file, section string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	var block []string
	inSection, inBlock := false, false
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		switch {
		case inBlock && line == "```":
			blocks, block, inBlock = append(blocks, strings.Join(block, "\n")), nil, false
		case inBlock:
			block = append(block, line)
		case strings.HasPrefix(line, "## "):
			inSection = line == section
		case inSection && line == "```sh":
			inBlock = true
		}
	}
	return blocks
}
