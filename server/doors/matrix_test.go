package doors_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

// TestTheTableHasAllMethods holds the table to the contract: a row for each method, and none for what is no method.
func TestTheTableHasAllMethods(t *testing.T) {
	rows := map[string]bool{}
	for name, r := range table {
		name, _, _ := strings.Cut(name, "/")
		rows[name] = true
		if m, there := methods()[name]; !there {
			t.Errorf("there is a row for %s, which is no method", name)
		} else if req := r.call(caller{}, object{}); named(req).name != m.name {
			t.Errorf("the row for %s makes a %T", name, req)
		}
	}
	for name := range methods() {
		if !rows[name] {
			t.Errorf("there is no row for %s: say in the table who may call it, on what, and what others get", name)
		}
	}
}

// matrix is where the cells are: home, whose callers call; quiet, whose callers are all refused; and abroad, whose objects
// they name.
type matrix struct {
	home, quiet, abroad *product
	// alone are the homes of rows that have one of their own.
	alone   map[string]*product
	callers map[*product][]caller
}

// TestMatrix calls every method as every caller about every object, over gRPC and REST, and compares the answers with the
// table. What is refused has no effect; what is not the caller's is answered as if it did not exist, to the byte. Callers of
// another workspace are those of home, seen from there: to them every object abroad is foreign.
func TestMatrix(t *testing.T) {
	h := newHouse(t)
	m := newMatrix(t, h)
	still := m.objects()
	before := m.quiet.image() + m.lookAbroad(still)
	t.Run("methods", func(t *testing.T) {
		for name, r := range table {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				m.on(t, name).row(r, still[name])
			})
		}
	})
	if after := m.quiet.image() + m.lookAbroad(still); after != before {
		t.Errorf("refused calls changed something: got %s, want %s", after, before)
	}
}

func newMatrix(t *testing.T, h *house) *matrix {
	t.Helper()
	m := &matrix{abroad: newProduct(t, h, "abroad"), alone: map[string]*product{}, callers: map[*product][]caller{}}
	made := func(name string) *product {
		p := newProduct(t, h, name)
		m.callers[p] = p.allCallers(m.abroad)
		return p
	}
	m.home, m.quiet = made("home"), made("quiet")
	for name, r := range table {
		if r.alone {
			m.alone[name] = made("home")
		}
	}
	m.abroad.wake() // now that no more time passes
	for p := range m.callers {
		p.wake()
	}
	m.quiet.lull()
	return m
}

// objects makes, for each row, the objects that refused calls are about.
func (m *matrix) objects() map[string]map[column]object {
	all := map[string]map[column]object{}
	for name, r := range table {
		all[name] = map[column]object{}
		for _, col := range r.columns() {
			all[name][col] = m.object(m.quiet, r, caller{}, col)
		}
	}
	return all
}

// lookAbroad returns how the foreign objects read that refused calls are about.
func (m *matrix) lookAbroad(still map[string]map[column]object) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(still)) {
		b.WriteString(m.look(table[name], foreign, still[name][foreign]))
	}
	return b.String()
}

// on returns the matrix for the test of a row.
func (m *matrix) on(t *testing.T, name string) *matrix {
	n := *m
	n.callers = map[*product][]caller{}
	of := func(p *product) *product {
		c := *p
		c.t = t
		n.callers[&c] = m.callers[p]
		return &c
	}
	home := m.home
	if alone, there := m.alone[name]; there {
		home = alone
	}
	n.home, n.quiet, n.abroad = of(home), of(m.quiet), of(m.abroad)
	return &n
}

// object makes an object in the column for a caller of a product.
func (m *matrix) object(p *product, r row, c caller, col column) object {
	p.t.Helper()
	switch {
	case r.of.made == nil:
		return object{}
	case col == foreign:
		return r.of.abroad(m.abroad, r)
	case col == missing:
		return object{id: r.of.missing(p), colleague: ben}
	}
	return r.of.made(p, r, c, col == another)
}

// row checks all cells of a row: those of callers who are refused at the door in the quiet product, others at home. Whose
// credential is refused gets one of the columns in turn, since nothing is looked at but that.
func (m *matrix) row(r row, still map[column]object) {
	for i, c := range m.callers[m.quiet] {
		want := r.door(c)
		if want == ok {
			m.inside(r, m.callers[m.home][i])
			continue
		}
		cols := r.columns()
		if c.refused != "" {
			cols = []column{cols[i%len(cols)]}
		}
		for _, col := range cols {
			m.door(r, c, col, still[col], want)
		}
	}
}

// columns are those that a row has.
func (r row) columns() []column {
	if r.of.made == nil {
		return columns[:1]
	}
	return columns
}

// door checks the answers to a caller who is not let in.
func (m *matrix) door(r row, c caller, col column, o object, want string) {
	req := r.call(c, o)
	over := m.quiet.ask(c, req)
	for transport, a := range over {
		m.quiet.expect(label(c, transport, col, req), a, want)
	}
	m.quiet.alike(label(c, "", col, req), over, o)
}

// inside checks the answers to a caller who is let in, each about an object of its own.
func (m *matrix) inside(r row, c caller) {
	hidden := map[string]string{}
	for _, col := range r.columns() {
		want := r.want(c, col)
		said := map[string]answer{}
		for _, transport := range transports(c, named(r.call(c, object{}))) {
			o := m.object(m.home, r, c, col)
			req := r.call(c, o)
			what := label(c, transport, col, req)
			before := m.look(r, col, o)
			a := m.home.over(transport, c, req)
			if r.item != nil && a.status == nil && r.item(a.reply) != nil {
				a = refused(r.item(a.reply))
			}
			m.home.expect(what, a, want)
			m.home.leaksNothing(what, c, req, a)
			if a.status == nil {
				m.succeeded(r, c, what, a)
				continue
			}
			if after := m.look(r, col, o); after != before {
				m.home.t.Errorf("%s: refused, and changed something: got %s, want %s", what, after, before)
			}
			said[transport] = normal(a, o)
			if want == r.of.absent && !r.of.isToken {
				hidden[what] = said[transport].text()
			}
		}
		m.home.alike(label(c, "", col, r.call(c, object{})), said, object{})
	}
	m.home.indistinct(hidden)
}

// succeeded checks that a call was taken for its caller's.
func (m *matrix) succeeded(r row, c caller, what string, a answer) {
	if r.said != nil {
		if got := r.said(a.reply); got != c.side() {
			m.home.t.Errorf("%s: got a reply by %v, want one by %v", what, got, c.side())
		}
	}
	if r.after != nil {
		r.after(m.home, a)
	}
}

// look returns how the object of a column reads where it is kept; nothing is kept of what is missing.
func (m *matrix) look(r row, col column, o object) string {
	switch {
	case r.of.look == nil || col == missing || o.id == "":
		return ""
	case col == foreign:
		return r.of.look(m.abroad, o)
	}
	return r.of.look(m.home, o)
}

func label(c caller, transport string, col column, req proto.Message) string {
	return fmt.Sprintf("%s as %s over %s on %s", named(req).name, c.name, transport, col)
}

// transports are the ways in which a caller can call a method.
func transports(c caller, m method) []string {
	if m.path == "" || c.at != public {
		return []string{"gRPC"}
	}
	return []string{"gRPC", "REST"}
}

// ask makes a call in every way there is.
func (p *product) ask(c caller, req proto.Message) map[string]answer {
	p.t.Helper()
	all := map[string]answer{}
	for _, transport := range transports(c, named(req)) {
		all[transport] = p.over(transport, c, req)
	}
	return all
}

func (p *product) over(transport string, c caller, req proto.Message) answer {
	p.t.Helper()
	if transport == "gRPC" {
		return overGRPC(p.t.Context(), p.doors[c.at], c.credential, req)
	}
	a, err := overREST(p.t.Context(), p.http, p.REST, c.credential, req)
	if err != nil {
		p.t.Errorf("%s over REST: %v", named(req).name, err)
	}
	return a
}

func (p *product) expect(what string, a answer, want string) {
	p.t.Helper()
	if got := a.String(); got != want {
		p.t.Errorf("%s: got %s, want %s: %s", what, got, want, a.text())
	}
}

// normal returns an answer without the ids that differ between objects that are alike.
func normal(a answer, o object) answer {
	if o.id == "" {
		return a
	}
	s := proto.CloneOf(a.status)
	for _, d := range s.GetDetails() {
		d.Value = []byte(strings.ReplaceAll(string(d.Value), o.id, "ID"))
	}
	return answer{status: s, reason: a.reason}
}

// alike checks that gRPC and REST said the same.
func (p *product) alike(what string, over map[string]answer, o object) {
	p.t.Helper()
	if len(over) < 2 {
		return
	}
	g, r := over["gRPC"], over["REST"]
	if g.text() != r.text() {
		p.t.Errorf("%s: got %s over REST, want what gRPC says: %s", what, r.text(), g.text())
	}
}

// indistinct checks that all answers about what a caller may not see are one.
func (p *product) indistinct(hidden map[string]string) {
	p.t.Helper()
	first, from := "", ""
	for what, text := range hidden {
		if first == "" {
			first, from = text, what
		}
		if text != first {
			p.t.Errorf("%s and %s can be told apart: got %s and %s", what, from, text, first)
		}
	}
}

// leaksNothing checks that an answer tells a caller of nothing that is not theirs, what they sent themselves excepted.
func (p *product) leaksNothing(what string, c caller, req proto.Message, a answer) {
	p.t.Helper()
	secrets := []string{"abroad"}
	if c.isCustomer() {
		secrets = []string{"abroad", lou, "inner"}
	}
	for _, s := range secrets {
		if text := a.text(); strings.Contains(text, s) && !strings.Contains(answer{reply: req}.text(), s) {
			p.t.Errorf("%s: the answer holds %q: %s", what, s, text)
		}
	}
}

// allCallers are who calls, in the same order for every product.
func (p *product) allCallers(abroad *product) []caller {
	p.t.Helper()
	return slices.Concat(p.keyCallers(), p.tokenCallers(abroad), p.visitorCallers(), p.operatorCallers())
}
