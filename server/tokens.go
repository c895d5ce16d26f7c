package main

import (
	"context"
	"fmt"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

type tokens struct {
	Create tokensCreate `cmd:"" help:"Make a token for one person and show it."`
	Revoke tokensRevoke `cmd:"" help:"End every token that one person has."`
}

// person is whom a command is about.
type person struct {
	Customer string `help:"A customer, under the product's id." placeholder:"ID" required:"" xor:"person"`
	Agent    string `help:"An agent or leader, under the product's id." placeholder:"ID" required:"" xor:"person"`
}

type tokensCreate struct {
	inWorkspace
	person
	Lifetime time.Duration `help:"How long it works, from 1m, up to 1h for a customer and 12h for an agent; the longest if left out." placeholder:"DURATION"`
	output
}

// Run makes the token.
func (c *tokensCreate) Run(ctx context.Context, p *place) error {
	req := &goodshipv1.CreateTokenRequest{CustomerId: c.Customer, AgentId: c.Agent}
	if c.Lifetime != 0 {
		req.Lifetime = durationpb.New(c.Lifetime)
	}
	return c.asOperator(ctx, p, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		made, err := goodshipv1.NewAdminServiceClient(conn).CreateToken(ctx, req)
		if err != nil {
			return err
		}
		return c.show(p, made, fmt.Sprintf("%s\n\nIt works until %s.\n", made.Token, instant(made.ExpireTime)))
	})
}

type tokensRevoke struct {
	inWorkspace
	person
	output
}

// Run ends the tokens.
func (c *tokensRevoke) Run(ctx context.Context, p *place) error {
	return c.asOperator(ctx, p, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		req := &goodshipv1.RevokeTokensRequest{CustomerId: c.Customer, AgentId: c.Agent}
		revoked, err := goodshipv1.NewDirectoryServiceClient(conn).RevokeTokens(ctx, req)
		if err != nil {
			return err
		}
		return c.show(p, revoked, fmt.Sprintf("tokens issued before %s have ended\n", instant(revoked.NotBeforeTime)))
	})
}
