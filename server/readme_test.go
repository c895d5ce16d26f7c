package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/goodship/goodship/server/servertest"
)

// TestReadme executes the README's conversation as printed, each block in turn in one shell, as a reader would paste them.
func TestReadme(t *testing.T) {
	blocks := shellBlocks(t, "../README.md", "## A conversation in ten calls")
	if len(blocks) != 11 { // two people are made known, then ten calls
		t.Fatalf("got %d blocks, want 11", len(blocks))
	}
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
	var list struct {
		Conversations []struct{ State, Outcome, OwnerID string }
	}
	if err := json.Unmarshal([]byte(s.Do("agent/captain", "GET", "/v1/conversations", "").Body), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Conversations) != 1 {
		t.Fatalf("got %d conversations, want 1", len(list.Conversations))
	}
	got := list.Conversations[0]
	if got.State != "STATE_RESOLVED" || got.Outcome != "OUTCOME_CONFIRMED" || got.OwnerID != "captain" {
		t.Errorf("the conversation ends as %+v, want RESOLVED and CONFIRMED, owned by captain", got)
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
			if want := strings.Replace(line, "{{.GRPC}}", "127.0.0.1:9090", 1); !strings.Contains(string(readme), want) {
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
