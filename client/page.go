package client

import (
	"context"
	"iter"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Page is the reply of a method that lists.
type Page interface {
	// GetNextPageToken returns the token of the next page, empty if there is none.
	GetNextPageToken() string
}

// Pages lists page by page, with any method that lists:
//
//	for page, err := range client.Pages(ctx, c.ListMessages, req) {
//
// It asks for a page when the loop wants it, with the request's filters and page size, from the request's page_token on. An
// error ends it: the loop gets it as the last element, with a nil page.
func Pages[Req proto.Message, P Page](ctx context.Context, list func(context.Context, Req, ...grpc.CallOption) (P, error), req Req) iter.Seq2[P, error] {
	return func(yield func(P, error) bool) {
		token := fieldOf(req, "page_token")
		for next := req; ; {
			page, err := list(ctx, next)
			if err != nil {
				var none P
				yield(none, err)
				return
			}
			if !yield(page, nil) || page.GetNextPageToken() == "" {
				return
			}
			next = with(req, token, protoreflect.ValueOfString(page.GetNextPageToken()))
		}
	}
}

// items goes through what stands on pages.
func items[P Page, T any](pages iter.Seq2[P, error], on func(P) []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for page, err := range pages {
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range on(page) {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// AllConversations goes through every page of ListConversations, as Pages says.
func (c *Client) AllConversations(ctx context.Context, req *goodshipv1.ListConversationsRequest) iter.Seq2[*goodshipv1.Conversation, error] {
	return items(Pages(ctx, c.ListConversations, req), (*goodshipv1.ListConversationsResponse).GetConversations)
}

// AllMessages goes through every page of ListMessages, as Pages says. Who answers them says what they had seen: see Reading.
func (c *Client) AllMessages(ctx context.Context, req *goodshipv1.ListMessagesRequest) iter.Seq2[*goodshipv1.Message, error] {
	return items(Pages(ctx, c.ListMessages, req), (*goodshipv1.ListMessagesResponse).GetMessages)
}

// AllNotes goes through every page of ListNotes, as Pages says.
func (c *Client) AllNotes(ctx context.Context, req *goodshipv1.ListNotesRequest) iter.Seq2[*goodshipv1.Note, error] {
	return items(Pages(ctx, c.ListNotes, req), (*goodshipv1.ListNotesResponse).GetNotes)
}

// AllResolutions goes through every page of ListResolutions, as Pages says.
func (c *Client) AllResolutions(ctx context.Context, req *goodshipv1.ListResolutionsRequest) iter.Seq2[*goodshipv1.Resolution, error] {
	return items(Pages(ctx, c.ListResolutions, req), (*goodshipv1.ListResolutionsResponse).GetResolutions)
}

// AllAgents goes through every page of ListAgents, as Pages says.
func (c *Client) AllAgents(ctx context.Context, req *goodshipv1.ListAgentsRequest) iter.Seq2[*goodshipv1.Agent, error] {
	return items(Pages(ctx, c.ListAgents, req), (*goodshipv1.ListAgentsResponse).GetAgents)
}

// AllCustomers goes through every page of ListCustomers, as Pages says.
func (c *Client) AllCustomers(ctx context.Context, req *goodshipv1.ListCustomersRequest) iter.Seq2[*goodshipv1.Customer, error] {
	return items(Pages(ctx, c.ListCustomers, req), (*goodshipv1.ListCustomersResponse).GetCustomers)
}

// AllApiKeys goes through every page of ListApiKeys, as Pages says.
//
//nolint:staticcheck // the name comes from the proto, where acronyms are words
func (c *Client) AllApiKeys(ctx context.Context, req *goodshipv1.ListApiKeysRequest) iter.Seq2[*goodshipv1.ApiKey, error] {
	return items(Pages(ctx, c.ListApiKeys, req), (*goodshipv1.ListApiKeysResponse).GetApiKeys)
}

// AllSigningKeys goes through every page of ListSigningKeys, as Pages says.
func (c *Client) AllSigningKeys(ctx context.Context, req *goodshipv1.ListSigningKeysRequest) iter.Seq2[*goodshipv1.SigningKey, error] {
	return items(Pages(ctx, c.ListSigningKeys, req), (*goodshipv1.ListSigningKeysResponse).GetSigningKeys)
}

// AllCredits goes through every page of ListCredits, as Pages says.
func (c *Client) AllCredits(ctx context.Context, req *goodshipv1.ListCreditsRequest) iter.Seq2[*goodshipv1.Credit, error] {
	return items(Pages(ctx, c.ListCredits, req), (*goodshipv1.ListCreditsResponse).GetCredits)
}

// AllIncidents goes through every page of ListIncidents, as Pages says.
func (c *Client) AllIncidents(ctx context.Context, req *goodshipv1.ListIncidentsRequest) iter.Seq2[*goodshipv1.Incident, error] {
	return items(Pages(ctx, c.ListIncidents, req), (*goodshipv1.ListIncidentsResponse).GetIncidents)
}

// AllApologies goes through every page of ListApologies, as Pages says.
func (c *Client) AllApologies(ctx context.Context, req *goodshipv1.ListApologiesRequest) iter.Seq2[*goodshipv1.Apology, error] {
	return items(Pages(ctx, c.ListApologies, req), (*goodshipv1.ListApologiesResponse).GetApologies)
}

// AllErasures goes through every page of ListErasures, as Pages says.
func (c *Client) AllErasures(ctx context.Context, req *goodshipv1.ListErasuresRequest) iter.Seq2[*goodshipv1.Erasure, error] {
	return items(Pages(ctx, c.ListErasures, req), (*goodshipv1.ListErasuresResponse).GetErasures)
}

// AllRemovals goes through every page of ListRemovals, as Pages says.
func (c *Client) AllRemovals(ctx context.Context, req *goodshipv1.ListRemovalsRequest) iter.Seq2[*goodshipv1.Removal, error] {
	return items(Pages(ctx, c.ListRemovals, req), (*goodshipv1.ListRemovalsResponse).GetRemovals)
}

// AllWebhookDeliveries goes through every page of ListWebhookDeliveries, as Pages says.
func (c *Client) AllWebhookDeliveries(ctx context.Context, req *goodshipv1.ListWebhookDeliveriesRequest) iter.Seq2[*goodshipv1.WebhookDelivery, error] {
	return items(Pages(ctx, c.ListWebhookDeliveries, req), (*goodshipv1.ListWebhookDeliveriesResponse).GetDeliveries)
}
