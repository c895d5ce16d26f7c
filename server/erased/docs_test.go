package erased_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// TestDocs runs the commands of docs/privacy.md as they are printed, in one shell, and sees what they did.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/privacy.md")
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, file(t.TempDir()))
	var blocks []string
	for _, block := range strings.Split(string(page), "```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		blocks = append(blocks, block)
	}
	run := exec.CommandContext(t.Context(), "bash", "-euxo", "pipefail", "-c", strings.Join(blocks, "echo\n"))
	run.Env = append(os.Environ(), "GOODSHIP="+h.rest, "KEY="+h.key)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`"text":"My address has changed."`, `"end":{"itemCount":`, `"notBeforeTime":`, `"state":"ERASURE_STATE_DONE"`, `"hold":true`,
		`CONVERSATION_ON_HOLD`, `"keepFor":"31536000s"`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the commands tell no %s:\n%s", want, out)
		}
	}
	left := do[*goodshipv1.ListCustomersResponse](h, h.backend(), &goodshipv1.ListCustomersRequest{}).GetCustomers()
	if len(left) != 1 || left[0].GetId() != "lou" {
		t.Errorf("the commands leave the customers %v, want lou", left)
	}
	if keep := do[*goodshipv1.Workspace](h, h.backend(), &goodshipv1.GetWorkspaceRequest{}).GetKeepFor(); keep != nil {
		t.Errorf("the commands leave a retention of %v", keep.AsDuration())
	}
}
