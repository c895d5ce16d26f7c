package doors_test

import (
	"testing"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
)

// TestTimeEndsWhatComesIn lets everything that has an end reach it, in a house whose time is only this test's.
func TestTimeEndsWhatComesIn(t *testing.T) {
	t.Parallel()
	p := newProduct(t, newHouse(t), "home")
	visitor := p.newSession(p.page, "")
	kims := bearer(p.newToken(&goodshipv1.CreateTokenRequest{CustomerId: kim}))
	adas := bearer(p.newToken(&goodshipv1.CreateTokenRequest{AgentId: ada}))
	renew := &goodshipv1.CreateVisitorSessionRequest{RenewalToken: visitor.RenewalToken}
	list := &goodshipv1.ListConversationsRequest{}

	p.clock.Jump(59 * time.Minute)
	for _, c := range []credential{bearer(visitor.Token), kims, adas} {
		p.gets(c, list, ok)
	}
	p.clock.Jump(time.Minute)
	for _, c := range []credential{bearer(visitor.Token), kims} {
		p.gets(c, list, expired)
	}
	p.gets(p.customer(kim), &goodshipv1.SignInVisitorRequest{VisitorToken: visitor.Token}, expired)
	p.gets(adas, list, ok)
	p.gets(bearer(p.page), renew, ok)

	p.clock.Jump(11 * time.Hour)
	p.gets(adas, list, expired)
	p.clock.Jump(30*24*time.Hour - 12*time.Hour)
	p.gets(bearer(p.page), renew, expired)
}
