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
	right := shellBlocks(t, "../README.md", "## Make it right")
	page := shellBlocks(t, "../README.md", "## From a page that strangers visit")
	if len(calls) != 14 || len(right) != 3 || len(page) != 3 { // two people are made known, three get tokens, then ten calls, a cursor and a watch
		t.Fatalf("got %d, %d and %d blocks, want 14, 3 and 3", len(calls), len(right), len(page))
	}
	blocks := slices.Concat(calls, right, page)
	s := servertest.New(t)
	paste(t, s, blocks)
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

// paste executes blocks in one shell, in turn, each of which prints something.
func paste(t *testing.T, s *servertest.Server, blocks []string) {
	t.Helper()
	shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-x", "-s")
	shell.Dir, shell.Env = t.TempDir(), append(os.Environ(), "GOODSHIP="+s.REST, "KEY="+s.Key)
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
}

// TestOutage executes docs/outage.md as printed, but with small pages: at its end four customers have one apology and one credit each, of
// which three are settled. A credit that is not the incident's is not.
func TestOutage(t *testing.T) {
	var blocks []string
	for _, section := range []string{
		"## Before anything happens", "## 1. Declare it", "## 2. Say who is affected", "## 3. Write the apology",
		"## 4. Look at it before anyone else does", "## 5. Send it", "## 6. See it arrive", "## 7. Settle it",
	} {
		found := shellBlocks(t, "../docs/outage.md", section)
		if len(found) == 0 {
			t.Fatalf("no command in %q", section)
		}
		blocks = append(blocks, found...)
	}
	for i, block := range blocks {
		blocks[i] = strings.ReplaceAll(block, "pageSize=1000", "pageSize=2")
	}
	s := servertest.New(t)
	other := grant(t, s)
	paste(t, s, blocks)
	credits := map[string]int{}
	for _, customer := range []string{"lieutenant", "engineer", "cadet", "captain"} {
		var conversations struct {
			Conversations []struct{ ID string }
		}
		answer(t, s.Do("customer/"+customer, "GET", "/v1/conversations", ""), &conversations)
		if n := len(conversations.Conversations); n != 1 {
			t.Errorf("%s has %d conversations, want 1", customer, n)
		}
		var granted struct {
			Credits []struct{ State string }
		}
		answer(t, s.Do("customer/"+customer, "GET", "/v1/credits", ""), &granted)
		if n := len(granted.Credits); n != 1 {
			t.Fatalf("%s has %d credits, want 1", customer, n)
		}
		credits[granted.Credits[0].State]++
	}
	if settled, pending := credits["CREDIT_STATE_SETTLED"], credits["CREDIT_STATE_PENDING"]; settled < 3 || settled+pending != 4 {
		t.Errorf("got credits %v, want those of three settled", credits)
	}
	var credit struct{ State string }
	answer(t, s.Do("", "GET", "/v1/credits/"+other, ""), &credit)
	if credit.State != "CREDIT_STATE_PENDING" {
		t.Errorf("the credit of another matter is %s", credit.State)
	}
}

// grant grants a credit to a passenger, in a conversation of theirs, and returns its id.
func grant(t *testing.T, s *servertest.Server) string {
	t.Helper()
	s.Do("", "PATCH", "/v1/workspace", `{"currencyCode": "EUR", "allowance": {
		"moneyPerGrant": {"currencyCode": "EUR", "units": "10"}, "moneyPerDay": {"currencyCode": "EUR", "units": "10"}}}`)
	s.Do("", "PUT", "/v1/agents/helper", `{"displayName": "Helper"}`)
	var conversation, credit struct{ ID string }
	answer(t, s.Do("customer/passenger", "POST", "/v1/conversations", `{"text": "The film skips."}`), &conversation)
	s.Do("agent/helper", "POST", "/v1/conversations/"+conversation.ID+":claim", "{}")
	answer(t, s.Do("agent/helper", "POST", "/v1/conversations/"+conversation.ID+"/credits",
		`{"amount": {"money": {"currencyCode": "EUR", "units": "5"}}, "reason": "The film skipped"}`), &credit)
	return credit.ID
}

func answer(t *testing.T, got servertest.Reply, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(got.Body), into); err != nil {
		t.Fatalf("%v: %s", err, got.Body)
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

// TestTheExamplesAreThoseThatRun holds the Go of the README and the docs to the examples of the client.
func TestTheExamplesAreThoseThatRun(t *testing.T) {
	source, err := os.ReadFile("../client/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for file, count := range map[string]int{"../README.md": 2, "../docs/outage.md": 2} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shown := regexp.MustCompile("(?s)<!-- go: (\\w+) -->\n\n```go\n(.*?)```").FindAllSubmatch(text, -1)
		if len(shown) != count {
			t.Errorf("%s: got %d examples, want %d", file, len(shown), count)
		}
		for _, m := range shown {
			if want := body(string(source), string(m[1])); string(m[2]) != want {
				t.Errorf("%s shows for %s\n%s\nwant what runs:\n%s", file, m[1], m[2], want)
			}
		}
	}
}

// body returns what an example does, as it is shown.
func body(source, name string) string {
	_, body, _ := strings.Cut(source, "\nfunc "+name+"() {\n")
	body, _, _ = strings.Cut(body, "\n}\n")
	body, _, _ = strings.Cut(body, "\n\t// Output:")
	return strings.TrimRight(regexp.MustCompile(`(?m)^\t`).ReplaceAllString(body, ""), "\n") + "\n"
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
