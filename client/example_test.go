package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/servertest"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The examples call this server: where it is, a backend's key of its workspace, and an incident whose apology everyone affected has.
var target, key, incident string

func TestMain(m *testing.M) { goleak.VerifyTestMain(served{m}) }

// served are the tests and examples, with a server for the examples.
type served struct{ m *testing.M }

func (s served) Run() int {
	server, stop := servertest.Start()
	target, key = server.GRPC, server.Key
	code, err := 1, apologized()
	if err == nil {
		code = s.m.Run()
	}
	if err := errors.Join(err, stop()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// apologized makes the settings that docs/outage.md begins with, and an incident whose apology three customers get.
func apologized() error {
	c, err := client.New(target, client.WithToken(key), client.WithInsecure())
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = c.UpdateWorkspace(ctx, &goodshipv1.UpdateWorkspaceRequest{
		Workspace: &goodshipv1.Workspace{
			CurrencyCode:    "EUR",
			ContactPoints:   []*goodshipv1.ContactPoint{{Kind: goodshipv1.ContactKind_CONTACT_KIND_PHONE, Value: "+1 555 0100"}},
			IncidentCeiling: &goodshipv1.IncidentCeiling{Money: &money.Money{CurrencyCode: "EUR", Units: 5_000_000}},
		},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"currency_code", "contact_points", "incident_ceiling"}},
	})
	if err != nil {
		return err
	}
	declared, err := c.DeclareIncident(ctx, &goodshipv1.DeclareIncidentRequest{Incident: &goodshipv1.Incident{
		WhatHappened: "Playback stood still: the licence server was full.",
		FromTime:     timestamppb.New(time.Now().Add(-2 * time.Hour)),
		Credit:       &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{Money: &money.Money{CurrencyCode: "EUR", Units: 2}}},
		SettleByTime: timestamppb.New(time.Now().AddDate(0, 0, 30)),
		Text:         "We are sorry. We give you {credit} back. {nothing_to_do} A person is here: {contact}.",
	}})
	if err != nil {
		return err
	}
	incident = declared.GetId()
	_, err = c.BatchAddAffectedCustomers(ctx, &goodshipv1.BatchAddAffectedCustomersRequest{
		IncidentId: incident, Customers: []*goodshipv1.AffectedCustomer{{CustomerId: "lieutenant"}, {CustomerId: "engineer"}, {CustomerId: "cadet"}},
	})
	if err != nil {
		return err
	}
	preview, err := c.PreviewApology(ctx, &goodshipv1.PreviewApologyRequest{IncidentId: incident})
	if err != nil {
		return err
	}
	sent, err := c.SendApology(ctx, &goodshipv1.SendApologyRequest{IncidentId: incident, PreviewToken: preview.GetPreviewToken()})
	for err == nil && sent.GetState() != goodshipv1.IncidentState_INCIDENT_STATE_SENT {
		sent, err = c.GetIncident(ctx, &goodshipv1.GetIncidentRequest{IncidentId: incident})
	}
	return err
}

func Example() {
	c, err := client.New(target, client.WithToken(key), client.WithInsecure()) // without TLS: on loopback
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// The directory learns of somebody who helps.
	_, err = c.UpsertAgent(ctx, &goodshipv1.UpsertAgentRequest{AgentId: "captain", Agent: &goodshipv1.Agent{DisplayName: "Captain"}})
	if err != nil {
		log.Fatal(err)
	}

	// A customer says hello, and is promised an answer.
	customer := client.ActFor(ctx, "customer/lieutenant")
	conversation, err := c.CreateConversation(customer, &goodshipv1.CreateConversationRequest{Text: "The film stops after ten minutes."})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(conversation.GetState())

	// Somebody reads it and answers what they read.
	agent := client.Reading(client.ActFor(ctx, "agent/captain"))
	for message, err := range c.AllMessages(agent, &goodshipv1.ListMessagesRequest{ConversationId: conversation.GetId()}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(message.GetText())
	}
	_, err = c.ProposeResolution(agent, &goodshipv1.ProposeResolutionRequest{
		ConversationId: conversation.GetId(),
		Matter:         goodshipv1.Matter_MATTER_FAULT,
		Done:           "Chapter 2 was encoded anew.",
		Text:           "It plays through now. Is it solved for you?",
	})
	if err != nil {
		log.Fatal(err)
	}

	// Only the customer says so.
	resolution, err := c.ConfirmResolution(customer, &goodshipv1.ConfirmResolutionRequest{ConversationId: conversation.GetId()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resolution.GetState())
	// Output:
	// STATE_WAITING
	// The film stops after ten minutes.
	// RESOLUTION_STATE_CONFIRMED
}

func Example_actFor() {
	c, err := client.New(target, client.WithToken(key), client.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// The backend itself keeps the directory. Whoever it acts for has the rights of their kind, and no others.
	_, err = c.UpsertAgent(ctx, &goodshipv1.UpsertAgentRequest{AgentId: "jo", Agent: &goodshipv1.Agent{DisplayName: "Jo"}})
	if err != nil {
		log.Fatal(err)
	}
	jo := client.ActFor(ctx, "agent/jo")
	agent, err := c.SetAvailability(jo, &goodshipv1.SetAvailabilityRequest{Availability: goodshipv1.Availability_AVAILABILITY_AWAY})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(agent.GetDisplayName())

	_, err = c.SetAvailability(ctx, &goodshipv1.SetAvailabilityRequest{Availability: goodshipv1.Availability_AVAILABILITY_AWAY})
	fmt.Println(client.Reason(err))
	// Output:
	// Jo
	// ERROR_REASON_CALLER_NOT_ALLOWED
}

func Example_pages() {
	c, err := client.New(target, client.WithToken(key), client.WithInsecure(), client.WithActFor("customer/ada"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	for _, text := range []string{"Ahoy", "Is anybody there?", "Land in sight"} {
		if _, err := c.CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Subject: text, Text: text}); err != nil {
			log.Fatal(err)
		}
	}
	for conversation, err := range c.AllConversations(ctx, &goodshipv1.ListConversationsRequest{PageSize: 2}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(conversation.GetSubject())
	}
	// Output:
	// Land in sight
	// Is anybody there?
	// Ahoy
}

func ExampleWatch() {
	c, err := client.New(target, client.WithToken(key), client.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = c.UpsertAgent(ctx, &goodshipv1.UpsertAgentRequest{AgentId: "captain", Agent: &goodshipv1.Agent{DisplayName: "Captain"}})
	if err != nil {
		log.Fatal(err)
	}
	customer := client.ActFor(ctx, "customer/lieutenant")
	conversation, err := c.CreateConversation(customer, &goodshipv1.CreateConversationRequest{Text: "Is anybody there?"})
	if err != nil {
		log.Fatal(err)
	}

	// Read, and watch from there: nothing is missed in between, nor when the server restarts.
	agent := client.Reading(client.ActFor(ctx, "agent/captain"))
	read, err := c.ListMessages(agent, &goodshipv1.ListMessagesRequest{ConversationId: conversation.GetId(), NewestFirst: true})
	if err != nil {
		log.Fatal(err)
	}
	watch := &goodshipv1.WatchConversationRequest{ConversationId: conversation.GetId(), Cursor: read.GetWatchCursor()}

	// Somebody else says something meanwhile.
	_, err = c.SendMessage(customer, &goodshipv1.SendMessageRequest{ConversationId: conversation.GetId(), Text: "It stops again."})
	if err != nil {
		log.Fatal(err)
	}

	for update, err := range client.Watch(agent, c.WatchConversation, watch) {
		if err != nil {
			log.Fatal(err)
		}
		event := update.GetEvent()
		if event.GetWaitAnswered() != nil {
			fmt.Println("in time:", event.GetWaitAnswered().GetKept())
			break
		}
		if sent := event.GetMessageSent(); sent != nil {
			fmt.Println(sent.GetMessage().GetText())
		}
		if event.GetMessageSent().GetAsks() { // it answers what the loop has seen
			_, err = c.SendMessage(agent, &goodshipv1.SendMessageRequest{ConversationId: conversation.GetId(), Text: "Ahoy! I look into it."})
			if err != nil {
				log.Fatal(err)
			}
		}
	}
	// Output:
	// It stops again.
	// Ahoy! I look into it.
	// in time: true
}

func Example_errors() {
	c, err := client.New(target, client.WithToken(key), client.WithInsecure(), client.WithActFor("customer/ben"))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	_, err = c.ListConversations(ctx, &goodshipv1.ListConversationsRequest{PageSize: 1000})
	if client.IsReason(err, goodshipv1.ErrorReason_ERROR_REASON_INVALID_REQUEST) {
		for _, violation := range client.FieldViolations(err) {
			fmt.Println(violation.GetField(), violation.GetDescription())
		}
	}
	_, err = c.ListAgents(ctx, nil)
	fmt.Println(status.Code(err) == codes.PermissionDenied, client.Reason(err), client.Metadata(err)["caller"])
	// Output:
	// page_size must be greater than or equal to 0 and less than or equal to 100
	// true ERROR_REASON_CALLER_NOT_ALLOWED CUSTOMER
}

func ExampleNewSigner() {
	backend, err := client.New(target, client.WithToken(key), client.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// Once: make a signing key, and keep what it returns where your servers' secrets are.
	made, err := backend.CreateSigningKey(ctx, &goodshipv1.CreateSigningKeyRequest{TokenKind: goodshipv1.TokenKind_TOKEN_KIND_CUSTOMER})
	if err != nil {
		log.Fatal(err)
	}

	// Then: whoever is signed in to your product gets a token from your server, which calls nobody for it.
	signer, err := client.NewSigner(made.GetSigningKey().GetId(), made.GetSigningKey().GetAudience(), made.GetSecret())
	if err != nil {
		log.Fatal(err)
	}
	token, err := signer.Sign("lea", time.Hour)
	if err != nil {
		log.Fatal(err)
	}

	// With it they are a customer, here and in the browser.
	lea, err := client.New(target, client.WithToken(token), client.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer lea.Close()
	conversation, err := lea.CreateConversation(ctx, &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(conversation.GetCustomerId())
	// Output: lea
}

func ExampleClient_TokenSource() {
	backend, err := client.New(target, client.WithToken(key), client.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = backend.UpsertAgent(ctx, &goodshipv1.UpsertAgentRequest{AgentId: "kim", Agent: &goodshipv1.Agent{DisplayName: "Kim"}})
	if err != nil {
		log.Fatal(err)
	}

	// A program that answers as Kim: its tokens are hers, and the next one is got in time.
	kim, err := client.New(target, client.WithTokenSource(backend.TokenSource("agent/kim")), client.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer kim.Close()
	agent, err := kim.SetAvailability(ctx, &goodshipv1.SetAvailabilityRequest{Availability: goodshipv1.Availability_AVAILABILITY_AWAY})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(agent.GetDisplayName())
	// Output: Kim
}

func Example_seenRevision() {
	c, err := client.New(target, client.WithToken(key), client.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = c.UpsertAgent(ctx, &goodshipv1.UpsertAgentRequest{AgentId: "captain", Agent: &goodshipv1.Agent{DisplayName: "Captain"}})
	if err != nil {
		log.Fatal(err)
	}
	customer, agent := client.ActFor(ctx, "customer/lou"), client.ActFor(ctx, "agent/captain")
	conversation, err := c.CreateConversation(customer, &goodshipv1.CreateConversationRequest{Text: "Is there sound?"})
	if err != nil {
		log.Fatal(err)
	}

	// An agent's page shows the messages, and keeps their revision.
	shown, err := c.ListMessages(agent, &goodshipv1.ListMessagesRequest{ConversationId: conversation.GetId(), NewestFirst: true})
	if err != nil {
		log.Fatal(err)
	}

	// While they type, the customer writes on. So the answer answers the first message, and the second one waits.
	_, err = c.SendMessage(customer, &goodshipv1.SendMessageRequest{ConversationId: conversation.GetId(), Text: "And subtitles?"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.SendMessage(agent, &goodshipv1.SendMessageRequest{
		ConversationId: conversation.GetId(),
		Text:           "There is.",
		SeenRevision:   shown.GetRevision(),
	})
	if err != nil {
		log.Fatal(err)
	}
	conversation, err = c.GetConversation(agent, &goodshipv1.GetConversationRequest{ConversationId: conversation.GetId()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(conversation.GetState())
	// Output: STATE_WAITING
}

func ExampleClient_AddAllAffected() {
	c, err := client.New(target, client.WithToken(key), client.WithInsecure()) // without TLS: on loopback
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()

	incident, err := c.DeclareIncident(ctx, &goodshipv1.DeclareIncidentRequest{Incident: &goodshipv1.Incident{
		WhatHappened: "Playback stood still: the licence server was full.",
		FromTime:     timestamppb.New(time.Now().Add(-2 * time.Hour)),
		Credit: &goodshipv1.CreditAmount{Amount: &goodshipv1.CreditAmount_Money{
			Money: &money.Money{CurrencyCode: "EUR", Units: 2, Nanos: 500_000_000}, // 2.50 EUR
		}},
		SettleByTime: timestamppb.New(time.Now().AddDate(0, 0, 30)),
	}})
	if err != nil {
		log.Fatal(err)
	}

	// As many as there are: each call names up to 1,000 of them, and is repeated when the server restarts.
	affected := func(yield func(*goodshipv1.AffectedCustomer) bool) {
		for n := range 2_500 {
			customer := &goodshipv1.AffectedCustomer{CustomerId: fmt.Sprint("customer-", n), Attributes: map[string]string{"minutes": "38"}}
			if !yield(customer) {
				return
			}
		}
	}
	reply, err := c.AddAllAffected(ctx, incident.GetId(), affected)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.GetAddedCount(), "of", reply.GetAffectedCount())

	// Output:
	// 2500 of 2500
}

func ExamplePages() {
	c, err := client.New(target, client.WithToken(key), client.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()

	// A page has up to 1,000 apologies, and a call settles up to 1,000 credits. It is repeated when the server restarts.
	settled := 0
	for page, err := range client.Pages(ctx, c.ListApologies, &goodshipv1.ListApologiesRequest{IncidentId: incident, PageSize: 1000}) {
		if err != nil {
			log.Fatal(err)
		}
		var settlements []*goodshipv1.Settlement
		for _, apology := range page.GetApologies() {
			if apology.GetCreditId() == "" {
				continue // it is not written yet, or there is none
			}
			settlements = append(settlements, &goodshipv1.Settlement{
				CreditId: apology.GetCreditId(),
				Outcome:  &goodshipv1.Settlement_BillingReference{BillingReference: "bill-2026-12"},
			})
		}
		if len(settlements) == 0 {
			continue
		}
		reply, err := c.SettleCredits(ctx, &goodshipv1.SettleCreditsRequest{Settlements: settlements})
		if err != nil {
			log.Fatal(err)
		}
		for _, result := range reply.GetResults() {
			if result.GetError() != nil {
				log.Println(result.GetCreditId(), result.GetError().GetMessage())
				continue
			}
			settled++
		}
	}
	fmt.Println(settled, "settled")

	// Output:
	// 3 settled
}
