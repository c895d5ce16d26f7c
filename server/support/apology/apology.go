// Package apology is the text of an apology to many: a template that each affected customer's own words are put into.
//
// A template is literal text with fields in braces, `{credit}`, and nothing else that acts: no conditions, no loops, no
// formats. `{{` and `}}` stand for braces. Four fields are the same for everyone: `{credit}`, `{contact}`, `{nothing_to_do}` and
// `{settle_by}`; any other has a value for each customer. Parse reads a template, Check holds it against the facts of its
// incident, With puts in what is the same for everyone, and Render writes one customer's text: values are put in as they are and
// never read again, so that nothing in an attribute becomes part of the template.
//
// Check is there because nobody takes an apology back from a million people. It refuses a text without a way to reach a
// person, without the credit or with another one, or that leaves open whether there is something to do, and a text that
// could not be written for some. Another credit is one in numerals, with a sign, a code or a word for money or a share: words for
// currencies in other languages than English are mostly not known, nor are numbers in words.
package apology

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxBytes is how long the text of one customer may become: as long as a message.
const MaxBytes = 32 << 10

// The fields that are the same for everyone.
const (
	credit      = "credit"        // the credit, as Words writes it
	contact     = "contact"       // the workspace's contact points
	nothingToDo = "nothing_to_do" // Facts.NothingToDo
	settleBy    = "settle_by"     // the day of Facts.SettleBy, 2006-01-02
)

// Name is the field of a customer's display name. Every other field that is not the same for everyone is an attribute.
const Name = "name"

// Template is a text with fields. The zero value is an empty text.
type Template struct{ parts []part }

// part is literal text, or a field if that is not empty.
type part struct{ literal, field string }

// Violation is a reason why a text is refused.
type Violation struct {
	// Field is what is to be changed: the `text` or the `nothing_to_do` of the incident, or the `contact_points` of the workspace.
	Field string
	// Description says what is wrong and what to do, in whole sentences.
	Description string
	// Missing is the field that some customers have no value for, if it is that.
	Missing string
}

// maxViolations is how many reasons are told at once.
const maxViolations = 20

// Parse reads a template, or says where it is none, in at most 20 places: with violations, the template is empty.
func Parse(text string) (Template, []Violation) {
	p := parser{text: text}
	for p.at < len(text) {
		p.next()
	}
	p.flush()
	if len(p.violations) > 0 {
		return Template{}, p.violations
	}
	return Template{p.parts}, nil
}

// String returns the text that Parse reads as this template.
func (t Template) String() string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.field != "" {
			b.WriteString("{" + p.field + "}")
			continue
		}
		b.WriteString(escape.Replace(p.literal))
	}
	return b.String()
}

var escape = strings.NewReplacer("{", "{{", "}", "}}")

// Fields returns the names of the template's fields, each once, in order of their first use.
func (t Template) Fields() []string {
	var all []string
	for _, p := range t.parts {
		if p.field != "" && !slices.Contains(all, p.field) {
			all = append(all, p.field)
		}
	}
	return all
}

// With returns the template with what is the same for everyone put in. Its fields are those that each customer has a value for.
func (t Template) With(f Facts) Template {
	var parts []part
	for _, p := range t.parts {
		if value, ok := f.value(p.field); ok {
			p = part{literal: value}
		}
		parts = append(parts, p)
	}
	return Template{parts}
}

// Render returns the text for one customer, by the values of its fields, of which an empty one counts as missing. The error,
// when one is missing or the text becomes longer than MaxBytes, says so in a sentence that holds no value.
func (t Template) Render(values map[string]string) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		piece := p.literal
		if p.field != "" {
			if piece = values[p.field]; piece == "" {
				return "", fmt.Errorf("the customer has no value for {%s}", p.field)
			}
		}
		if b.Len()+len(piece) > MaxBytes {
			return "", fmt.Errorf("with this customer's values the text is longer than %d bytes", MaxBytes)
		}
		b.WriteString(piece)
	}
	return b.String(), nil
}

// parser reads a template from left to right.
type parser struct {
	text       string
	at         int
	literal    strings.Builder
	parts      []part
	violations []Violation
}

// next takes in what comes next: literal text up to a brace, or what the brace begins.
func (p *parser) next() {
	rest := p.text[p.at:]
	brace := strings.IndexAny(rest, "{}")
	switch {
	case brace != 0:
		if brace < 0 {
			brace = len(rest)
		}
		p.take(rest[:brace], brace)
	case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
		p.take(rest[:1], 2)
	case rest[0] == '}':
		p.refuse("This brace closes nothing. Write }} for a brace in the text.", 1)
	default:
		p.field(rest)
	}
}

// take adds literal text that so many bytes stand for.
func (p *parser) take(literal string, bytes int) {
	p.literal.WriteString(literal)
	p.at += bytes
}

// field takes in a field, which rest begins with.
func (p *parser) field(rest string) {
	end := strings.IndexAny(rest[1:], "{}\n") + 1
	if end == 0 || rest[end] != '}' {
		p.refuse("This brace is not closed. Write {{ for a brace in the text, or a field as in {credit}.", 1)
		return
	}
	if !names.MatchString(rest[1:end]) {
		p.refuse("Between braces stands the name of a field: a to z, 0 to 9 and _, a letter first, at most 32. Write {{ and }} for braces in the text.", end+1)
		return
	}
	p.flush()
	p.parts = append(p.parts, part{field: rest[1:end]})
	p.at += end + 1
}

// flush makes a part of the literal text so far.
func (p *parser) flush() {
	if p.literal.Len() > 0 {
		p.parts = append(p.parts, part{literal: p.literal.String()})
		p.literal.Reset()
	}
}

// refuse notes what is wrong here, and skips so many bytes.
func (p *parser) refuse(what string, bytes int) {
	if len(p.violations) < maxViolations {
		line := strings.Count(p.text[:p.at], "\n")
		begin := strings.LastIndexByte(p.text[:p.at], '\n') + 1
		place := fmt.Sprintf("Line %d, character %d: ", line+1, utf8.RuneCountInString(p.text[begin:p.at])+1)
		p.violations = append(p.violations, Violation{Field: "text", Description: place + what})
	}
	p.at += bytes
}

// names are what fields may be called.
var names = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
