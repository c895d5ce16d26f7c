package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/goodship/goodship/server/servertest"
)

// TestCredits executes docs/credits.md as printed: at its end billing has settled one credit and refused another, and one was taken back.
func TestCredits(t *testing.T) {
	var blocks []string
	for _, section := range []string{"## Allowances", "## Granting", "## What billing does", "## The ledger", "## Is it worth it?"} {
		found := shellBlocks(t, "../docs/credits.md", section)
		if len(found) == 0 {
			t.Fatalf("no command in %q", section)
		}
		blocks = append(blocks, found...)
	}
	s := servertest.New(t)
	paste(t, s, blocks)
	type amount struct {
		Units string
		Nanos int
	}
	var ledger struct {
		Balances []struct{ Owed, Settled amount }
		Entries  []struct{ Kind string }
	}
	answer(t, s.Do("", "GET", "/v1/customers/lieutenant/ledger", ""), &ledger)
	if len(ledger.Balances) != 1 || ledger.Balances[0].Owed != (amount{}) || ledger.Balances[0].Settled != (amount{"4", 500_000_000}) {
		t.Errorf("the ledger ends with %+v, want 4.50 settled", ledger)
	}
	var kinds []string
	for _, e := range ledger.Entries {
		kinds = append(kinds, strings.TrimPrefix(e.Kind, "LEDGER_ENTRY_KIND_"))
	}
	slices.Sort(kinds)
	if want := []string{"GRANTED", "GRANTED", "GRANTED", "REFUSED", "REVERSED", "SETTLED"}; !slices.Equal(kinds, want) {
		t.Errorf("the ledger has %v, want %v", kinds, want)
	}
}
