package apology_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/support/apology"
	"google.golang.org/genproto/googleapis/type/money"
	"pgregory.net/rapid"
)

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// in returns a credit in a currency.
func in(code string, units int64, nanos int32) *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: &money.Money{CurrencyCode: code, Units: units, Nanos: nanos}}}
}

func euros(units int64, nanos int32) *goodshipv1.CreditAmount { return in("EUR", units, nanos) }

// share returns a credit in basis points.
func share(points int32) *goodshipv1.CreditAmount {
	return &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_BasisPoints{BasisPoints: points}}
}

// facts are those of an incident with five euros for three customers, of whom two have a plan and a name.
func facts() apology.Facts {
	return apology.Facts{
		Credit:   euros(5, 0),
		SettleBy: time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("", 3600)),
		Contacts: []string{"+49 30 1234567", "help@example.com"},
		Affected: 3, Values: map[string]int{"device": 3, "plan": 2, "name": 2},
	}
}

// parse reads a template that is one.
func parse(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string) apology.Template {
	t.Helper()
	template, violations := apology.Parse(text)
	if len(violations) > 0 {
		t.Fatalf("%q: %v", text, violations)
	}
	return template
}

// render writes a template for a customer with a name and two attributes, or tells the error.
func render(t *testing.T, text string) string {
	t.Helper()
	got, err := parse(t, text).With(facts()).Render(map[string]string{"name": "Ada", "device": "television {credit}", "empty": "", "credit": "9 EUR"})
	if err != nil {
		return "error: " + err.Error()
	}
	return got
}

func TestRender(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                 "",
		"Sorry.":           "Sorry.",
		"{credit}":         "5.00 EUR",
		"by {settle_by}":   "by 2026-03-01",
		"ask {contact}":    "ask +49 30 1234567, help@example.com",
		"{nothing_to_do}":  "You do not need to do anything.",
		"Dear {name},":     "Dear Ada,",
		"your {device}!":   "your television {credit}!",
		"{{credit}}":       "{credit}",
		"{{{credit}}}":     "{5.00 EUR}",
		"}}{{ {{}}":        "}{ {}",
		"{name}{name}":     "AdaAda",
		"the {plan} plan":  "error: the customer has no value for {plan}",
		"{empty}":          "error: the customer has no value for {empty}",
		"{device}{device}": "television {credit}television {credit}",
	} {
		equal(t, text, render(t, text), want)
	}
}

func TestATextIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", apology.MaxBytes-len("5.00 EUR"))
	equal(t, "the longest", len(render(t, long+"{credit}")), apology.MaxBytes)
	equal(t, "one byte more", render(t, long+"a{credit}"), "error: with this customer's values the text is longer than 32768 bytes")
}

func TestWhatIsNoTemplate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{":                                 "Line 1, character 1: This brace is not closed",
		"ä {credit":                         "Line 1, character 3: This brace is not closed",
		"{cre\ndit}":                        "Line 1, character 1: This brace is not closed",
		"{a{credit}":                        "Line 1, character 1: This brace is not closed",
		"Sorry\nfor\n ä}":                   "Line 3, character 3: This brace closes nothing",
		"{credit}}":                         "Line 1, character 9: This brace closes nothing",
		"{}":                                "Line 1, character 1: Between braces",
		"{ credit }":                        "Line 1, character 1: Between braces",
		"{Credit}":                          "Line 1, character 1: Between braces",
		"{1a}":                              "Line 1, character 1: Between braces",
		"{_a}":                              "Line 1, character 1: Between braces",
		"{a-b}":                             "Line 1, character 1: Between braces",
		"{if .Plan}":                        "Line 1, character 1: Between braces",
		"{" + strings.Repeat("a", 33) + "}": "Line 1, character 1: Between braces",
	} {
		template, violations := apology.Parse(text)
		if len(violations) == 0 || !strings.HasPrefix(violations[0].Description, want) || violations[0].Field != "text" {
			t.Errorf("%q: got %v, want %s", text, violations, want)
		}
		equal(t, "fields of what is none", len(template.Fields()), 0)
	}
	_, violations := apology.Parse(strings.Repeat("}a", 1000))
	equal(t, "violations that are told", len(violations), 20)
}

func TestFields(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", 32)
	got := strings.Join(parse(t, "{plan} {credit} {plan} {"+longest+"} {a_1}").Fields(), " ")
	equal(t, "fields", got, "plan credit "+longest+" a_1")
	all := parse(t, "{credit} {name} {contact} {nothing_to_do} {plan} {settle_by}").With(facts()).Fields()
	equal(t, "fields that are not the same for everyone", strings.Join(all, " "), "name plan")
}

// escape writes literal text as a template.
func escape(s string) string { return strings.NewReplacer("{", "{{", "}", "}}").Replace(s) }

func TestLiteralTextRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[{}a\n]*`)).Draw(t, "text")
		got, err := parse(t, escape(text)).With(facts()).Render(nil)
		if got != text || err != nil {
			t.Fatalf("got %q %v, want %q", got, err, text)
		}
	})
}

// What is put in beforehand is as literal as the rest, and the text of a template reads as the same template.
func TestWithAndString(t *testing.T) {
	t.Parallel()
	f := facts()
	f.NothingToDo = "Nothing {at} all }."
	sent := parse(t, "{{ {name} {credit} {nothing_to_do}").With(f).String()
	equal(t, "as it is sent", sent, "{{ {name} 5.00 EUR Nothing {{at}} all }}.")
	got, err := parse(t, sent).Render(map[string]string{"name": "Ada", "at": "wrong"})
	if err != nil {
		t.Error(err)
	}
	equal(t, "rendered", got, "{ Ada 5.00 EUR Nothing {at} all }.")
}

// A text is its pieces, one after the other: whatever an attribute holds, it stands there and nothing of it acts.
func TestValuesAreNeverReadAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		attributes := rapid.MapOfN(rapid.StringMatching(`x[a-z0-9_]{0,3}`), rapid.StringMatching(`(\{credit\}|\{\{|\}|[a-z{}]){1,8}`), 1, 4).Draw(t, "attributes")
		names := slices.Sorted(maps.Keys(attributes))
		var template, want strings.Builder
		for range rapid.IntRange(0, 8).Draw(t, "pieces") {
			if rapid.Bool().Draw(t, "field") {
				field := rapid.SampledFrom(names).Draw(t, "name")
				template.WriteString("{" + field + "}")
				want.WriteString(attributes[field])
				continue
			}
			literal := rapid.StringMatching(`[{}ab ]*`).Draw(t, "literal")
			template.WriteString(escape(literal))
			want.WriteString(literal)
		}
		got, err := parse(t, template.String()).With(facts()).Render(attributes)
		if err != nil || got != want.String() {
			t.Fatalf("%q of %q: got %q %v, want %q", template.String(), attributes, got, err, want.String())
		}
	})
}

// Whatever is written and put in, nothing panics, and what is rendered is bounded.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"{credit} {{", "}{a}", "5,– € 100 % of EUR 5 000.00", "٥٫٠٠ €", "5–10€ \ufdd05 US$", "{name}5 {contact}{credit}", "{nothing_to_do} 1'000.00 chf"} {
		f.Add(seed, "a {credit}")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		template, violations := apology.Parse(text)
		if len(violations) > 0 {
			return
		}
		known := facts()
		values := map[string]string{}
		for _, field := range template.Fields() {
			known.Values[field], values[field] = 3, value
		}
		if got := len(template.Check(known)); got > 20 {
			t.Errorf("%d violations", got)
		}
		if again := parse(t, template.String()); again.String() != template.String() {
			t.Errorf("%q reads as %q", template, again)
		}
		got, err := template.With(known).Render(values)
		if len(got) > apology.MaxBytes || err == nil && value != "" && len(text) > 0 && got == "" {
			t.Errorf("got %q", got)
		}
	})
}
