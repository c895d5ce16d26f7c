package support_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestWatchEndsWithTheCredential lets credentials of each kind expire: the stream ends when calls do, and not before.
func TestWatchEndsWithTheCredential(t *testing.T) {
	const lasts = 5 * time.Minute
	for name, test := range map[string]struct {
		credential func(w *world) string
		after      time.Duration
	}{
		"an API key": {func(w *world) string {
			return w.newKey(&goodshipv1.CreateApiKeyRequest{
				DisplayName: "Shop", ExpireTime: timestamppb.New(w.clock.Now().Add(lasts)),
			}).Secret
		}, lasts},
		"a signed token": {func(w *world) string {
			d := w.newSigner(customerTokens, hs256).drafts(w, "kim")
			d.claims["exp"] = w.in(lasts)
			return d.sign()
		}, lasts + time.Minute},
		"a sealed token": {func(w *world) string {
			return do[*goodshipv1.CreateTokenResponse](w, backend, &goodshipv1.CreateTokenRequest{CustomerId: "kim", Lifetime: durationpb.New(lasts)}).Token
		}, lasts},
	} {
		t.Run(name, func(t *testing.T) {
			still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
				id := w.opens(kim, "Hello?")
				credential := test.credential(w)
				s := w.watches(bearer(credential), id, "")
				s.begins()
				jump(test.after - time.Second)
				s.progress()
				equal(t, "let in a second before", w.knocks(credential, ""), "")
				w.says(kim, id, "And?")
				s.events("message_sent")
				jump(time.Second)
				cursor := s.endsWith(credentialExpired)
				equal(t, "let in", w.knocks(credential, ""), credentialExpired)
				w.says(kim, id, "And now?")
				s = w.watches(kim, id, cursor)
				if test.after == lasts && name == "an API key" { // the cursor is one of the staff's
					s = w.watches(backend, id, cursor)
				}
				s.begins()
				equal(t, "told from the cursor on", s.said(), "And now?")
			})
		})
	}
}

// TestWatchEndsWithTheRight takes away from callers what they watch with. No time passes: nobody asks now and then.
func TestWatchEndsWithTheRight(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// takes returns a caller, and how to take away their right.
		takes func(w *world) (person, func())
		want  string
	}{
		"the key": {func(w *world) (person, func()) {
			made := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Shop"})
			return bearer(made.Secret), func() { w.revokesKey(made.ApiKey.Id) }
		}, credentialRevoked},
		"the key that made the token": {func(w *world) (person, func()) {
			made := w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Shop", Scopes: []goodshipv1.Scope{goodshipv1.Scope_SCOPE_ADMIN}})
			token := do[*goodshipv1.CreateTokenResponse](w, bearer(made.Secret), tokenRequest(ada)).Token
			return bearer(token), func() { w.revokesKey(made.ApiKey.Id) }
		}, credentialRevoked},
		"the signing key": {func(w *world) (person, func()) {
			k := w.newSigner(agentTokens, hs256)
			return bearer(k.token(w, "ada")), func() {
				do[*goodshipv1.SigningKey](w, backend, &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: k.key.Id})
			}
		}, credentialRevoked},
		"an agent's tokens": {func(w *world) (person, func()) {
			return bearer(w.tokenFor(ada)), func() { w.ends(ada, nil) }
		}, credentialRevoked},
		"a customer's tokens": {func(w *world) (person, func()) {
			return bearer(w.tokenFor(kim)), func() { w.ends(kim, nil) }
		}, credentialRevoked},
		"the agent": {func(w *world) (person, func()) {
			return bearer(w.tokenFor(ada)), func() { w.disables(ada) }
		}, "PermissionDenied AGENT_DISABLED agent_id=ada"},
		"the agent acted for": {func(w *world) (person, func()) { return ada, func() { w.disables(ada) } }, "PermissionDenied AGENT_DISABLED agent_id=ada"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.opens(kim, "Hello?")
			p, take := test.takes(w)
			one, all := w.watches(p, id, ""), w.everything(p, "")
			one.begins()
			all.begins()
			other := w.watches(kim, id, "")
			other.begins()
			take()
			for _, s := range []*watching{one, all} {
				if s.endsWith(test.want) == "" {
					t.Error("the end has no cursor")
				}
			}
			w.says(kim, id, "And?")
			equal(t, "somebody else is told", other.said(), "And?")
		})
	}
}

func (w *world) revokesKey(id string) {
	w.t.Helper()
	do[*goodshipv1.ApiKey](w, backend, &goodshipv1.RevokeApiKeyRequest{ApiKeyId: id})
}

// TestWatchGoesOn changes what is known of callers, and what else their streams look at them again for: they go on.
func TestWatchGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	streams := []*watching{w.watches(lea, id, ""), w.everything(lea, ""), w.watches(kim, id, ""), w.everything(kim, ""), w.everything(bearer(w.tokenFor(lea)), "")}
	for _, s := range streams {
		s.begins()
	}
	w.employ(lea, goodshipv1.Role_ROLE_AGENT)
	w.updates(&goodshipv1.Workspace{}, "personas_allowed")
	w.revokesKey(w.newKey(&goodshipv1.CreateApiKeyRequest{DisplayName: "Shop"}).ApiKey.Id)
	do[*goodshipv1.Customer](w, backend, &goodshipv1.UpsertCustomerRequest{CustomerId: "kim", Customer: &goodshipv1.Customer{DisplayName: "Kim"}})
	w.says(kim, id, "And?")
	for _, s := range streams {
		equal(t, "told", s.said(), "And?")
	}
}

// TestVisitorSignsIn has a visitor sign in who watches, as somebody who watches: the visitor's stream ends, with a cursor that
// the customer goes on from; the customer's tells of the visitor's conversations from then on.
func TestVisitorSignsIn(t *testing.T) {
	t.Parallel()
	site := newWorld(t).site()
	w, session := site.world, site.comes()
	id := site.asks(session)
	token := bearer(session.Token)
	visitor, acted, customer, one := w.watches(token, "-", ""), w.watches(person("customer/"+session.VisitorId), "-", ""), w.watches(kim, "-", ""), w.watches(token, id, "")
	for _, s := range []*watching{visitor, acted, customer, one} {
		s.begins()
	}
	equal(t, "sign in", w.signsIn(kim, session.Token), "")
	cursor := visitor.endsWith(credentialRevoked)
	single := one.endsWith(credentialRevoked)
	w.says(kim, id, "It is me.")
	for name, s := range map[string]*watching{"customer": customer, "backend for the visitor": acted} {
		equal(t, name+" is told", s.said(), "It is me.")
	}
	for name, s := range map[string]*watching{"all": w.watches(kim, "-", cursor), "the conversation": w.watches(kim, id, single)} {
		s.begins()
		equal(t, "told from the visitor's cursor: "+name, s.said(), "It is me.")
	}
	// Another visitor of kim's is one of the acted visitor's person too.
	second := site.comes()
	other := site.asks(second)
	equal(t, "sign in", w.signsIn(kim, second.Token), "")
	w.says(kim, other, "Me too.")
	for name, s := range map[string]*watching{"customer": customer, "backend for the visitor": acted} {
		for text := ""; text != "Me too."; text = s.said() {
		}
		equal(t, name+" goes on", w.revision(other) > 0, true)
	}
}

// TestWatchStalls has somebody not read: the stream ends after 10 seconds, and the cursor is where the reading ended.
func TestWatchStalls(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		id := w.opens(kim, "Hello?")
		s, other := w.watches(kim, id, ""), w.watches(kim, id, "")
		s.begins()
		other.begins()
		jump(9 * time.Second)
		w.says(kim, id, "One")
		equal(t, "told", s.said(), "One")
		w.says(kim, id, "Two")
		w.says(kim, id, "Three")
		for _, text := range []string{"One", "Two", "Three"} {
			equal(t, "others are told", other.said(), text)
		}
		jump(10*time.Second - time.Microsecond)
		select {
		case err := <-s.end:
			t.Fatalf("it ended before its time: %v", refusal(err))
		default:
		}
		jump(time.Microsecond)
		var err error
		select {
		case err = <-s.end:
		default:
			t.Fatal("it did not end")
		}
		cursor, rest := metadata(err, "cursor")
		equal(t, "the end", rest, "ResourceExhausted WATCH_STALLED")
		s = w.watches(kim, id, cursor)
		s.begins()
		equal(t, "told from the cursor on", s.said(), "Two")
		equal(t, "then", s.said(), "Three")
	})
}

// TestWatchEndsSoon takes the right of somebody who does not read: the stream does not wait for as long as else.
func TestWatchEndsSoon(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		id := w.opens(kim, "Hello?")
		s := w.watches(ada, id, "")
		s.begins()
		jump(0)
		w.says(kim, id, "One")
		jump(time.Second)
		w.disables(ada)
		jump(4*time.Second - time.Microsecond)
		select {
		case err := <-s.end:
			t.Fatalf("it ended before its time: %v", refusal(err))
		default:
		}
		jump(time.Microsecond)
		select {
		case err := <-s.end:
			_, rest := metadata(err, "cursor")
			equal(t, "the end", rest, "ResourceExhausted WATCH_STALLED")
		default:
			t.Fatal("it did not end")
		}
	})
}

// TestDrain ends streams that have nothing to do, that tell, and that come too late.
func TestDrain(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		const stopping = "Unavailable SERVER_STOPPING"
		id := w.opens(kim, "Hello?")
		idle := w.watches(kim, id, "")
		start := idle.begins()
		for _, text := range []string{"One", "Two"} {
			w.says(kim, id, text)
			equal(t, "told", idle.said(), text)
		}
		busy := w.watches(kim, id, start)
		busy.begins()
		jump(0) // it sends the first of two messages, which nobody reads
		w.Drain()
		w.Drain()
		jump(0)
		cursors := []string{idle.endsWith(stopping)}
		equal(t, "told before the end", busy.said(), "One")
		jump(0)
		select {
		case f := <-busy.frames:
			t.Errorf("got %v, want nothing more", f.Update())
		default:
		}
		cursors = append(cursors, busy.endsWith(stopping))
		late, err := metadata(w.watches(kim, id, start).ends(), "cursor")
		equal(t, "too late", err, stopping)
		equal(t, "its cursor", late, start)
		w.Close()
		w.restart()
		for n, text := range []string{"Three", "Two"} {
			w.says(kim, id, text)
			s := w.watches(kim, id, cursors[n])
			s.begins()
			equal(t, "told from the cursor on", s.said(), text)
		}
	})
}

// TestCallerLeaves ends streams as those who watch do.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.opens(kim, "Hello?")
	for _, busy := range []bool{false, true} {
		s := w.watches(kim, id, "")
		s.begins()
		if busy {
			w.says(kim, id, "Unheard")
		}
		s.goes()
	}
	w.Close() // waits for all
}

// TestWatchingIsPresence has an agent watch and do nothing else.
func TestWatchingIsPresence(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		s := w.everything(ada, "")
		s.begins()
		for range 16 {
			jump(15 * time.Second)
			s.progress()
		}
		equal(t, "present while watching", w.present(ada), true)
		equal(t, "another", w.present(ben), false)
		s.goes()
		jump(119 * time.Second)
		equal(t, "present after", w.present(ada), true)
		jump(time.Second)
		equal(t, "present long after", w.present(ada), false)
	})
}

// TestWatchingIsMeasured counts streams, and measures how soon events are told, of streams that were up to date only.
func TestWatchingIsMeasured(t *testing.T) {
	still(t, func(t *testing.T, w *world, jump func(time.Duration)) {
		read := w.measure()
		id := w.opens(kim, "Hello?")
		measures := func(what, want string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, line := range strings.Split(read(), ", ") {
				if strings.HasPrefix(line, "watch.") {
					got = append(got, line)
				}
			}
			equal(t, what, strings.Join(got, ", "), want)
		}
		s := w.watches(kim, id, w.sealed("conversation/"+id+" customer", 0, 0))
		s.begins()
		s.events("wait_began")
		measures("what was there before", "watch.streams  1")
		w.says(kim, id, "And?")
		jump(2 * time.Second) // it stays in the stream's hand
		s.event()
		w.says(kim, id, "And??")
		s.event()
		measures("what came then", "watch.delivery  2 of 2 s, watch.streams  1")
		s.goes()
		measures("who goes", "watch.delivery  2 of 2 s, watch.streams  0")
	})
}
