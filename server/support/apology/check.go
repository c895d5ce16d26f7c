package apology

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// Facts are what a text is held against, and what its built-in fields stand for.
type Facts struct {
	// Credit is what each affected customer gets.
	Credit *goodshipv1.CreditAmount
	// SettleBy is when the credit is settled, in the workspace's time zone.
	SettleBy time.Time
	// Contacts are the values of the workspace's contact points.
	Contacts []string
	// NothingToDo says in the product's language that there is nothing to do; if empty, DefaultNothingToDo.
	NothingToDo string

	// Affected is how many customers are affected, and Values how many of them have a value for each field, by its name.
	Affected int
	Values   map[string]int
}

// DefaultNothingToDo is what `{nothing_to_do}` stands for in a product that says it in no other language.
const DefaultNothingToDo = "You do not need to do anything."

// value returns what a field stands for that is the same for everyone; ok is false for the others.
func (f Facts) value(field string) (value string, ok bool) {
	switch field {
	case credit:
		return Words(f.Credit), true
	case contact:
		return strings.Join(f.Contacts, ", "), true
	case nothingToDo:
		return f.nothingToDo(), true
	case settleBy:
		return f.SettleBy.Format(time.DateOnly), true
	}
	return "", false
}

func (f Facts) nothingToDo() string {
	if f.NothingToDo == "" {
		return DefaultNothingToDo
	}
	return f.NothingToDo
}

// Check returns why a text may not be sent to those affected, at most 20 reasons; nil if it may.
func (t Template) Check(f Facts) []Violation {
	if shortest := t.shortest(f); shortest > MaxBytes {
		return []Violation{refused("It has %d bytes before customers' values are put in; %d are the most. Shorten it.", shortest, MaxBytes)}
	}
	text := t.forEveryone(f)
	all := slices.Concat(t.checkContact(f, text), t.checkCredit(f, text), t.checkNothingToDo(f, text))
	for _, field := range t.Fields() {
		all = append(all, f.checkField(field)...)
	}
	return all[:min(len(all), maxViolations)]
}

func refused(format string, args ...any) Violation {
	return Violation{Field: "text", Description: fmt.Sprintf(format, args...)}
}

func (t Template) has(field string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.field == field })
}

// gap stands for a field that each customer has a value for, and place for the credit: letters to what looks for words and numbers, so that
// nothing that touches a field is read as if it stood alone.
const gap, place = "\ufdd0", "\ufdd1"

// forEveryone returns the text as everyone gets it, with gaps for what is each customer's. The contact points are a gap too: the
// digits of a telephone number belong to no word beside it.
func (t Template) forEveryone(f Facts) string {
	var b strings.Builder
	for _, p := range t.parts {
		switch p.field {
		case "":
			b.WriteString(p.literal)
		case credit:
			b.WriteString(place)
		case nothingToDo, settleBy:
			value, _ := f.value(p.field)
			b.WriteString(value)
		default:
			b.WriteString(gap)
		}
	}
	return b.String()
}

// checkContact refuses a text that names no way to reach a person.
func (t Template) checkContact(f Facts, text string) []Violation {
	if len(f.Contacts) == 0 {
		return []Violation{{Field: "contact_points", Description: "The workspace has no contact points, so the apology would leave no way to reach a person. Set one with UpdateWorkspace."}}
	}
	if t.has(contact) || slices.ContainsFunc(f.Contacts, func(c string) bool { return holds(text, c) }) {
		return nil
	}
	return []Violation{refused("It names no way to reach a person. Write {contact}, or one of the workspace's contact points as it stands there.")}
}

// checkNothingToDo refuses a text that leaves open whether there is something to do.
func (t Template) checkNothingToDo(f Facts, text string) []Violation {
	sentence := f.nothingToDo()
	if !strings.ContainsFunc(sentence, unicode.IsLetter) {
		return []Violation{{Field: nothingToDo, Description: fmt.Sprintf("It has no words, so the apology would leave open whether there is something to do. Write a sentence that says there is not, or leave it empty for %q.", DefaultNothingToDo)}}
	}
	if t.has(nothingToDo) || holds(text, strings.TrimRightFunc(sentence, unicode.IsPunct)) {
		return nil
	}
	return []Violation{refused("It does not say whether there is something to do. Write {nothing_to_do}, which stands for %q.", sentence)}
}

// checkCredit refuses a text that is silent about the credit, or says another.
func (t Template) checkCredit(f Facts, text string) []Violation {
	var all []Violation
	said := t.has(credit)
	for _, a := range amounts(text, f.Credit) {
		said = said || a.right
		switch {
		case a.right:
		case t.says(a.text) || !strings.Contains(f.nothingToDo(), a.text):
			all = append(all, refused("“%s” is not the credit, which is “%s”. Write {credit} for it; an amount that is something else can come from an attribute of the customers.", shown.Replace(a.text), Words(f.Credit)))
		default:
			all = append(all, f.anotherIn(nothingToDo, a))
		}
	}
	if value, _ := f.value(contact); t.has(contact) {
		for _, a := range amounts(value, f.Credit) {
			all = append(all, f.anotherIn("contact_points", a))
		}
	}
	if !said {
		all = append(all, refused("It does not say the credit. Write {credit}, which stands for “%s”.", Words(f.Credit)))
	}
	if touching.MatchString(text) {
		all = append(all, refused("A digit, a minus, a factor, a letter, a word like “million” or another field beside {credit} would read as part of its amount. Put other words between them, or a space behind it."))
	}
	return all
}

// shown writes what a text says for a violation.
var shown = strings.NewReplacer(gap, "{…}", place, "{credit}", "\n", " ")

// says reports whether the text says something itself, outside of its fields.
func (t Template) says(words string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return strings.Contains(p.literal, words) })
}

// anotherIn refuses an amount in what stands for a field.
func (f Facts) anotherIn(field string, a amount) Violation {
	return Violation{Field: field, Description: fmt.Sprintf("“%s” in it would read as the credit, which is “%s”. Leave amounts out of it.", a.text, Words(f.Credit))}
}

// checkField refuses a field that is unknown or has no value for some.
func (f Facts) checkField(field string) []Violation {
	if _, same := f.value(field); same {
		return nil
	}
	have := f.Values[field]
	if have == 0 && field != Name {
		return []Violation{refused("No customer has the attribute {%s}. Add it to those affected, or write one of: %s.", field, f.known())}
	}
	if missing := f.Affected - have; missing > 0 {
		how := "Add them again with it"
		if field == Name {
			how = "Give them a display_name with UpsertCustomer and add them again"
		}
		v := refused("{%s} has no value for %d of %d customers. %s, or leave the field out.", field, missing, f.Affected, how)
		v.Missing = field
		return []Violation{v}
	}
	return nil
}

// maxKnown is how many attributes a violation lists.
const maxKnown = 10

// known returns the fields that may be used.
func (f Facts) known() string {
	var attributes []string
	for field, have := range f.Values {
		if have > 0 && field != Name {
			attributes = append(attributes, field)
		}
	}
	slices.Sort(attributes)
	if len(attributes) > maxKnown {
		attributes = append(attributes[:maxKnown:maxKnown], "…")
	}
	return strings.Join(append([]string{credit, contact, nothingToDo, settleBy, Name}, attributes...), ", ")
}

// shortest returns how many bytes the text has without customers' values.
func (t Template) shortest(f Facts) int {
	n := 0
	for _, p := range t.parts {
		value, _ := f.value(p.field)
		n += len(p.literal) + len(value)
	}
	return n
}

// holds reports whether a text holds a phrase, however letters are cased and spaces are set, as words of its own.
func holds(text, phrase string) bool {
	text, phrase = strings.Join(strings.Fields(strings.ToLower(text)), " "), strings.Join(strings.Fields(strings.ToLower(phrase)), " ")
	for from := 0; phrase != ""; {
		i := strings.Index(text[from:], phrase)
		if i < 0 {
			return false
		}
		begin, end := from+i, from+i+len(phrase)
		before, _ := utf8.DecodeLastRuneInString(text[:begin])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if !inWord(before) && !inWord(after) {
			return true
		}
		from = begin + 1
	}
	return false
}

// inWord reports whether a character is part of a word or a number, or a field.
func inWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || string(r) == gap || string(r) == place
}
