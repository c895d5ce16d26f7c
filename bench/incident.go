package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// incident is one on a server of its own, of which everyone affected is to be told.
type incident struct {
	*server
	id     string
	client goodshipv1.IncidentServiceClient
}

// euros is an amount of money.
func euros(units int64) *money.Money { return &money.Money{CurrencyCode: "EUR", Units: units} }

// declare declares an incident on a new workspace, which may credit as much as it likes.
func declare(ctx context.Context, s *server) (*incident, error) {
	_, err := goodshipv1.NewAdminServiceClient(s.conn).UpdateWorkspace(s.as(ctx, ""), &goodshipv1.UpdateWorkspaceRequest{
		Workspace: &goodshipv1.Workspace{
			CurrencyCode: "EUR", IncidentCeiling: &goodshipv1.IncidentCeiling{Money: euros(1_000_000)},
			ContactPoints: []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "+34 600 000 000"}},
		},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"currency_code", "incident_ceiling", "contact_points"}},
	})
	if err != nil {
		return nil, err
	}
	now := time.Now().Truncate(time.Second)
	i := &incident{server: s, client: goodshipv1.NewIncidentServiceClient(s.conn)}
	made, err := i.client.DeclareIncident(s.as(ctx, ""), &goodshipv1.DeclareIncidentRequest{Incident: &goodshipv1.Incident{
		WhatHappened: "films stopped", FromTime: timestamppb.New(now.Add(-time.Hour)),
		Credit:       &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: euros(1)}},
		SettleByTime: timestamppb.New(now.Add(30 * 24 * time.Hour)),
		Text:         "Ahoy {first}, {film} stopped on {device}, and we are sorry. You have {credit} already. {nothing_to_do} {contact}",
	}})
	i.id = made.GetId()
	return i, err
}

// add names so many who are affected, with three attributes each, by one stream, and asks now and then.
func (i *incident) add(ctx context.Context, n int, now func(added int) error) error {
	const each = 1000
	stream, err := i.client.AddAffectedCustomers(i.as(ctx, ""))
	if err != nil {
		return err
	}
	for from := 0; from < n; from += each {
		some := &goodshipv1.AddAffectedCustomersRequest{IncidentId: i.id}
		for c := from; c < min(from+each, n); c++ {
			some.Customers = append(some.Customers, &goodshipv1.AffectedCustomer{
				CustomerId: fmt.Sprintf("customer-%07d", c),
				Attributes: map[string]string{"first": fmt.Sprintf("Number %d", c), "film": "The Long Voyage", "device": "a television in the cabin"},
			})
		}
		if err := stream.Send(some); err != nil {
			_, err := stream.CloseAndRecv()
			return err
		}
		if err := now(from + len(some.Customers)); err != nil {
			return err
		}
	}
	got, err := stream.CloseAndRecv()
	if err != nil || got.AffectedCount != int32(n) {
		return errors.Join(err, fmt.Errorf("%d are affected, of %d", got.GetAffectedCount(), n))
	}
	return nil
}

// send sends the apology off, on hold.
func (i *incident) send(ctx context.Context) error {
	preview, err := i.client.PreviewApology(i.as(ctx, ""), &goodshipv1.PreviewApologyRequest{IncidentId: i.id})
	if err != nil {
		return err
	}
	if _, err := i.client.SendApology(i.as(ctx, ""), &goodshipv1.SendApologyRequest{IncidentId: i.id, PreviewToken: preview.PreviewToken}); err != nil {
		return err
	}
	return i.hold(ctx)
}

// hold holds the apology where it is, and goOn goes on with it.
func (i *incident) hold(ctx context.Context) error {
	_, err := i.client.PauseApology(i.as(ctx, ""), &goodshipv1.PauseApologyRequest{IncidentId: i.id})
	return err
}

func (i *incident) goOn(ctx context.Context) error {
	_, err := i.client.ResumeApology(i.as(ctx, ""), &goodshipv1.ResumeApologyRequest{IncidentId: i.id})
	return err
}

// written is how many are told; io.EOF if it is everyone.
func (i *incident) written(ctx context.Context) (int, error) {
	got, err := i.client.GetIncident(i.as(ctx, ""), &goodshipv1.GetIncidentRequest{IncidentId: i.id})
	if err == nil && got.Progress.Pending == 0 {
		err = io.EOF
	}
	return int(got.GetProgress().GetWritten()), err
}
