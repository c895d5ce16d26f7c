package erased_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// TestDocs runs the commands of docs/privacy.md as they are printed, and sees what they did.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/privacy.md")
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, file(t.TempDir()))
	for _, who := range []string{"kim", "lou"} {
		do[*goodshipv1.Conversation](h, h.customer(who), &goodshipv1.CreateConversationRequest{Text: "Hello?"})
	}
	lous := do[*goodshipv1.ListConversationsResponse](h, h.customer("lou"), &goodshipv1.ListConversationsRequest{}).Conversations[0].Id
	var told strings.Builder
	for i, block := range strings.Split(string(page), "```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		run := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", block)
		run.Env = append(os.Environ(), "GOODSHIP="+h.rest, "KEY="+h.key, "ID="+lous)
		out, err := run.CombinedOutput()
		if err != nil {
			t.Fatalf("block %d: %v\n%s\n%s", i, err, block, out)
		}
		told.Write(out)
	}
	for _, want := range []string{`"text":"Hello?"`, `"end":{"itemCount":`, `"state":"ERASURE_STATE_DONE"`, `"hold":true`, `"keepFor":"31536000s"`} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("the commands tell no %s:\n%s", want, &told)
		}
	}
}
