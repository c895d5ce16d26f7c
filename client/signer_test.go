package client_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
)

// dial returns a client of a server, closed with the test.
func dial(t *testing.T, s *servertest.Server, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(s.GRPC, append([]client.Option{client.WithToken(s.Key), client.WithInsecure()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// employ makes an agent known.
func employ(t *testing.T, backend *client.Client, id string, role goodshipv1.Role) {
	t.Helper()
	if _, err := backend.UpsertAgent(t.Context(), &goodshipv1.UpsertAgentRequest{AgentId: id, Agent: &goodshipv1.Agent{DisplayName: id, Role: role}}); err != nil {
		t.Fatal(err)
	}
}

func TestTheServerTakesWhatASignerSigns(t *testing.T) {
	s := servertest.New(t)
	backend := dial(t, s)
	employ(t, backend, "kim", goodshipv1.Role_ROLE_AGENT)
	employ(t, backend, "lea", goodshipv1.Role_ROLE_LEADER)
	for name, tc := range map[string]struct {
		kind     goodshipv1.TokenKind
		eddsa    bool
		subject  string
		lifetime time.Duration
	}{
		"a customer, by a secret":      {goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER, false, "ada", time.Hour},
		"a customer, by a private key": {goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER, true, "ada@example.com", time.Minute},
		"an agent, by a secret":        {goodshipv1.TokenKind_TOKEN_KIND_AGENT, false, "kim", 12 * time.Hour},
		"a leader, by a private key":   {goodshipv1.TokenKind_TOKEN_KIND_LEADER, true, "lea", 12 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := signer(t, backend, tc.kind, tc.eddsa).Sign(tc.subject, tc.lifetime)
			if err != nil {
				t.Fatal(err)
			}
			c := dial(t, s, client.WithToken(token))
			if _, err := c.ListConversations(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			_, err = c.SetAvailability(t.Context(), &goodshipv1.SetAvailabilityRequest{Availability: goodshipv1.Availability_AVAILABILITY_AWAY})
			if helps := err == nil; helps != (tc.kind != goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER) {
				t.Errorf("the desk says %v", err)
			}
		})
	}
}

// signer makes a signing key and returns a signer with it.
func signer(t *testing.T, backend *client.Client, kind goodshipv1.TokenKind, eddsa bool) *client.Signer {
	t.Helper()
	req := &goodshipv1.CreateSigningKeyRequest{TokenKind: kind}
	var private ed25519.PrivateKey
	if eddsa {
		public, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		private = key
		req.Algorithm, req.PublicKey = goodshipv1.SigningAlgorithm_SIGNING_ALGORITHM_EDDSA, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	made, err := backend.CreateSigningKey(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	id, audience := made.GetSigningKey().GetId(), made.GetSigningKey().GetAudience()
	s, err := client.NewSigner(id, audience, made.GetSecret())
	if eddsa {
		s, err = client.NewSigner(id, audience, private)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	someID     = "sign_00000000000000000000000000"
	somePlace  = "goodship/ws_1/"
	someSecret = "gss_0000000000000000000000000000000000000000000"
)

func TestASignerRefusesWhatTheServerWould(t *testing.T) {
	for name, tc := range map[string]struct {
		audience, subject string
		lifetime          time.Duration
		want              string
	}{
		"nobody":                        {"customer", "", time.Hour, "no id of a person"},
		"somebody with a prefix":        {"customer", "customer/ada", time.Hour, "no id of a person"},
		"a visitor":                     {"customer", "visitor_00000000000000000000000000", time.Hour, "visitor's id"},
		"a customer for too long":       {"customer", "ada", time.Hour + time.Second, "cannot last"},
		"an agent for too long":         {"agent", "kim", 12*time.Hour + time.Second, "cannot last"},
		"a leader for too long":         {"leader", "lea", 13 * time.Hour, "cannot last"},
		"no time":                       {"customer", "ada", 0, "cannot last"},
		"a time gone by":                {"customer", "ada", -time.Minute, "cannot last"},
		"a customer, as long as may be": {"customer", "ada", time.Hour, ""},
		"an agent, as long as may be":   {"agent", "kim", 12 * time.Hour, ""},
		"an agent called visitor_":      {"agent", "visitor_00000000000000000000000000", time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := client.NewSigner(someID, somePlace+tc.audience, someSecret)
			if err != nil {
				t.Fatal(err)
			}
			token, err := s.Sign(tc.subject, tc.lifetime)
			if tc.want == "" {
				if err != nil || strings.Count(token, ".") != 2 {
					t.Errorf("got %q, %v", token, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || token != "" {
				t.Errorf("got %q, %v, want an error with %q", token, err, tc.want)
			}
		})
	}
}

func TestWhatIsNoSigningKey(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(id, audience, secret string) error { _, err := client.NewSigner(id, audience, secret); return err }
	short := func() error { _, err := client.NewSigner(someID, somePlace+"agent", private[:32]); return err }()
	for want, err := range map[string]error{
		"no id of a signing key": sign("key_00000000000000000000000000", somePlace+"agent", someSecret),
		"no audience":            sign(someID, "goodship/ws_1/operator", someSecret),
		"the secret is none":     sign(someID, somePlace+"agent", "gsk_"+someSecret[4:]),
		"has 32 bytes":           short,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		} else if strings.Contains(err.Error(), someSecret[4:]) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	if err := sign(someID, somePlace+"agent", someSecret+"\n"); err == nil {
		t.Error("a secret with a line break was taken")
	}
}
