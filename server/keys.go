package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type keys struct {
	Create keysCreate `cmd:"" help:"Make an API key and show it. A secret one is shown once."`
	List   keysList   `cmd:"" help:"List API keys, newest first."`
	Revoke keysRevoke `cmd:"" help:"Revoke an API key, at once and for ever."`
}

type keysCreate struct {
	inWorkspace
	Name        string   `help:"What the key is for." required:""`
	Scope       []string `enum:"act,admin,credits,incidents-send,privacy" help:"What it may do beyond speaking for its own backend. act: speak as any customer or agent; admin: change settings and make keys; credits: say what billing did with credits; incidents-send: declare incidents and send apologies; privacy: export and erase customers." placeholder:"SCOPE"`
	Publishable bool     `help:"A key for pages, which everyone may read: it only begins visitors' sessions."`
	Expires     moment   `help:"When it stops to work: in 90d or 12h, on 2030-01-31, or at a time as in 2030-01-31T12:00:00Z; never if left out." placeholder:"WHEN"`
	output
}

// Run makes the key.
func (c *keysCreate) Run(ctx context.Context, p *place) error {
	req := &goodshipv1.CreateApiKeyRequest{DisplayName: c.Name, Kind: goodshipv1.ApiKeyKind_API_KEY_KIND_SECRET, ExpireTime: c.Expires.after(time.Now())}
	if c.Publishable {
		req.Kind = goodshipv1.ApiKeyKind_API_KEY_KIND_PUBLISHABLE
	}
	for _, scope := range c.Scope {
		req.Scopes = append(req.Scopes, goodshipv1.Scope(goodshipv1.Scope_value["SCOPE_"+strings.ToUpper(strings.ReplaceAll(scope, "-", "_"))]))
	}
	return c.asOperator(ctx, p, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		made, err := goodshipv1.NewAdminServiceClient(conn).CreateApiKey(ctx, req)
		if err != nil {
			return err
		}
		key, secret := made.GetApiKey(), made.Secret+"\n\nIt is shown this once.\n"
		if c.Publishable {
			secret = key.GetPublishableKey() + "\n"
		}
		return c.show(p, made, fmt.Sprintf("id   %s\nkey  %s", key.GetId(), secret))
	})
}

type keysList struct {
	inWorkspace
	output
}

// Run lists the keys.
func (c *keysList) Run(ctx context.Context, p *place) error {
	return c.asOperator(ctx, p, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		client := goodshipv1.NewAdminServiceClient(conn)
		all, err := pages(func(token string) ([]*goodshipv1.ApiKey, string, error) {
			page, err := client.ListApiKeys(ctx, &goodshipv1.ListApiKeysRequest{PageSize: 100, PageToken: token})
			return page.GetApiKeys(), page.GetNextPageToken(), err
		})
		if err != nil {
			return err
		}
		rows := [][]string{{"ID", "BEGINS", "NAME", "KIND", "SCOPES", "MADE", "EXPIRES", "REVOKED"}}
		for _, k := range all {
			begins := k.SecretPrefix
			if k.PublishableKey != "" {
				begins = k.PublishableKey
			}
			rows = append(rows, []string{k.Id, begins, k.DisplayName, label(k.Kind, "API_KEY_KIND_"), scopesLabel(k.Scopes),
				instant(k.CreateTime), instant(k.ExpireTime), instant(k.RevokeTime)})
		}
		return c.show(p, &goodshipv1.ListApiKeysResponse{ApiKeys: all}, table(rows))
	})
}

func scopesLabel(scopes []goodshipv1.Scope) string {
	if len(scopes) == 0 {
		return "-"
	}
	var labels []string
	for _, s := range scopes {
		labels = append(labels, label(s, "SCOPE_"))
	}
	return strings.Join(labels, ",")
}

type keysRevoke struct {
	inWorkspace
	ID string `arg:"" help:"The key's id, as in \"keys list\"." name:"id"`
	output
}

// Run revokes the key.
func (c *keysRevoke) Run(ctx context.Context, p *place) error {
	return c.asOperator(ctx, p, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		key, err := goodshipv1.NewAdminServiceClient(conn).RevokeApiKey(ctx, &goodshipv1.RevokeApiKeyRequest{ApiKeyId: c.ID})
		if err != nil {
			return err
		}
		return c.show(p, key, fmt.Sprintf("revoked %s, %s\n", key.Id, key.DisplayName))
	})
}

type signing struct {
	Create signingCreate `cmd:"" help:"Make a key that signs the tokens of one kind of people. The secret of an hs256 one is shown once."`
	List   signingList   `cmd:"" help:"List signing keys, newest first."`
	Revoke signingRevoke `cmd:"" help:"Revoke a signing key, at once and for ever, and with it every token that it signed."`
}

type signingCreate struct {
	inWorkspace
	Kind      string `enum:"customer,agent,leader" help:"Whose tokens it signs: customer, agent or leader." required:""`
	PublicKey string `help:"The Ed25519 public key in PEM, for tokens signed with EdDSA; left out, the server makes a secret for HS256." placeholder:"FILE" type:"existingfile"`
	Name      string `help:"What the key is for."`
	output
}

// Run makes the signing key.
func (c *signingCreate) Run(ctx context.Context, p *place) error {
	req := &goodshipv1.CreateSigningKeyRequest{
		TokenKind:   goodshipv1.TokenKind(goodshipv1.TokenKind_value["TOKEN_KIND_"+strings.ToUpper(c.Kind)]),
		Algorithm:   goodshipv1.SigningAlgorithm_SIGNING_ALGORITHM_HS256,
		DisplayName: c.Name,
	}
	if c.PublicKey != "" {
		text, err := os.ReadFile(c.PublicKey)
		if err != nil {
			return fmt.Errorf("the public key cannot be read: %w", err)
		}
		req.Algorithm, req.PublicKey = goodshipv1.SigningAlgorithm_SIGNING_ALGORITHM_EDDSA, string(text)
	}
	return c.asOperator(ctx, p, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		made, err := goodshipv1.NewAdminServiceClient(conn).CreateSigningKey(ctx, req)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("kid     %s\naud     %s\n", made.GetSigningKey().GetId(), made.GetSigningKey().GetAudience())
		if made.Secret != "" {
			text += fmt.Sprintf("secret  %s\n\nIt is shown this once.\n", made.Secret)
		}
		return c.show(p, made, text)
	})
}

type signingList struct {
	inWorkspace
	output
}

// Run lists the signing keys.
func (c *signingList) Run(ctx context.Context, p *place) error {
	return c.asOperator(ctx, p, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		client := goodshipv1.NewAdminServiceClient(conn)
		all, err := pages(func(token string) ([]*goodshipv1.SigningKey, string, error) {
			page, err := client.ListSigningKeys(ctx, &goodshipv1.ListSigningKeysRequest{PageSize: 100, PageToken: token})
			return page.GetSigningKeys(), page.GetNextPageToken(), err
		})
		if err != nil {
			return err
		}
		rows := [][]string{{"ID", "NAME", "KIND", "ALGORITHM", "MADE", "REVOKED"}}
		for _, k := range all {
			rows = append(rows, []string{k.Id, k.DisplayName, label(k.TokenKind, "TOKEN_KIND_"), label(k.Algorithm, "SIGNING_ALGORITHM_"),
				instant(k.CreateTime), instant(k.RevokeTime)})
		}
		return c.show(p, &goodshipv1.ListSigningKeysResponse{SigningKeys: all}, table(rows))
	})
}

type signingRevoke struct {
	inWorkspace
	ID string `arg:"" help:"The signing key's id, as in \"signing-keys list\"." name:"id"`
	output
}

// Run revokes the signing key.
func (c *signingRevoke) Run(ctx context.Context, p *place) error {
	return c.asOperator(ctx, p, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		key, err := goodshipv1.NewAdminServiceClient(conn).RevokeSigningKey(ctx, &goodshipv1.RevokeSigningKeyRequest{SigningKeyId: c.ID})
		if err != nil {
			return err
		}
		return c.show(p, key, fmt.Sprintf("revoked %s, and every token that it signed\n", key.Id))
	})
}

// moment is a time to come: an instant, or how long from now. The zero value is never.
type moment struct {
	at time.Time
	in time.Duration
}

// inDays matches as many days as a time.Duration has room for.
var inDays = regexp.MustCompile(`^(\d{1,5})d$`)

// notOver refuses a time that is none to come: zero stands for never.
func notOver(d time.Duration) error {
	if d <= 0 {
		return errors.New("it would expire at once: write a time to come, or leave it out for never")
	}
	return nil
}

// UnmarshalText reads `90d`, `12h`, `2030-01-31` (its beginning, in UTC) and RFC 3339.
func (m *moment) UnmarshalText(text []byte) (err error) {
	s := string(text)
	if days := inDays.FindStringSubmatch(s); days != nil {
		n, _ := strconv.Atoi(days[1]) // at most five digits
		m.in = time.Duration(n) * 24 * time.Hour
		return notOver(m.in)
	}
	if m.in, err = time.ParseDuration(s); err == nil {
		return notOver(m.in)
	}
	if m.at, err = time.Parse(time.DateOnly, s); err == nil {
		return nil
	}
	if m.at, err = time.Parse(time.RFC3339, s); err == nil {
		return nil
	}
	return fmt.Errorf("%q is no time: write 90d, 12h, 2030-01-31 or 2030-01-31T12:00:00Z", s)
}

// after returns the instant, seen from now; nil for never.
func (m *moment) after(now time.Time) *timestamppb.Timestamp {
	switch {
	case m.in != 0:
		return timestamppb.New(now.Add(m.in))
	case !m.at.IsZero():
		return timestamppb.New(m.at)
	}
	return nil
}
