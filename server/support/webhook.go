package support

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/fault"
	"github.com/goodship/goodship/server/store"
	"github.com/goodship/goodship/server/webhook"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// maxEndpoints is how many a workspace has, and maxSecrets how many of one's secrets sign at once.
	maxEndpoints, maxSecrets = 20, 3
	// formerSecretFor is how long a former secret goes on signing unless something else is said.
	formerSecretFor = 24 * time.Hour
	// webhookSecretPrefix is how Standard Webhooks tells its secrets.
	webhookSecretPrefix = "whsec_"
)

// CreateWebhookEndpoint makes an endpoint, and shows its secret once.
func (s *Service) CreateWebhookEndpoint(ctx context.Context, req *goodshipv1.CreateWebhookEndpointRequest) (*goodshipv1.CreateWebhookEndpointResponse, error) {
	c, w := callerFrom(ctx), proto.CloneOf(req.WebhookEndpoint)
	if err := s.checkEndpoint(w); err != nil {
		return nil, err
	}
	s.courier.making.Lock()
	defer s.courier.making.Unlock()
	made, err := s.store.WebhookEndpoints(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	_, newest, err := s.store.FeedEnds(ctx, c.Workspace)
	if err != nil {
		return nil, err
	}
	secret := newWebhookSecret()
	endpoint := &goodshipv1.WebhookEndpoint{Id: newID(endpointPrefix), Uri: w.Uri, View: w.View, EventKinds: w.EventKinds, Description: w.Description, State: w.State}
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		if len(made) >= maxEndpoints {
			return nil, tooManyEndpoints()
		}
		endpoint.CreateTime, endpoint.UpdateTime = timestamppb.New(tx.Now()), timestamppb.New(tx.Now())
		r := &storev1.WebhookEndpointRecord{WebhookEndpoint: endpoint, Version: 1, Secrets: []*storev1.WebhookSecret{{Secret: secret}}}
		if err := tx.PutWebhookEndpoint(r); err != nil {
			return nil, err
		}
		return &storev1.Receipt{ObjectId: endpoint.Id}, tx.PutWebhookProgress(&storev1.WebhookProgressRecord{EndpointId: endpoint.Id, Position: newest})
	})
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.CreateWebhookEndpointResponse{Secret: secret}
	if result.Replayed {
		reply.Secret, reply.SecretAbsentReason = "", goodshipv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN
	} else {
		s.courier.changed(c.Workspace, endpoint.Id)
	}
	reply.WebhookEndpoint, err = s.endpoint(ctx, c.Workspace, result.Receipt.ObjectId)
	return reply, err
}

// checkEndpoint refuses what the proto cannot, and fills in what was not said.
func (s *Service) checkEndpoint(w *goodshipv1.WebhookEndpoint) error {
	if err := webhook.CheckURL(w.Uri, s.webhooks); err != nil {
		return fault.Field("webhook_endpoint.uri", "%v", err)
	}
	if w.View == goodshipv1.WebhookView_WEBHOOK_VIEW_UNSPECIFIED {
		w.View = goodshipv1.WebhookView_WEBHOOK_VIEW_PUBLIC
	}
	if w.State == goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_UNSPECIFIED {
		w.State = goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED
	}
	for _, kind := range w.EventKinds {
		switch known, shown := isEventKind(kind, w.View); {
		case !known:
			return fault.Field("webhook_endpoint.event_kinds", "must name kinds of events as Event does, as in message_sent")
		case !shown:
			return fault.Field("webhook_endpoint.event_kinds", "must name kinds that customers are shown, unless the view is FULL: %s is not one", kind)
		}
	}
	return nil
}

// newWebhookSecret returns a secret as Standard Webhooks has it: 32 random bytes.
func newWebhookSecret() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	return webhookSecretPrefix + base64.StdEncoding.EncodeToString(random)
}

// signingKeys returns the keys that an endpoint's messages are signed with.
func signingKeys(r *storev1.WebhookEndpointRecord, now time.Time) [][]byte {
	var keys [][]byte
	for _, secret := range append(r.Secrets[:1:1], formerSecrets(r, now)...) {
		if key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Secret, webhookSecretPrefix)); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// formerSecrets returns an endpoint's secrets that still sign, but for the newest, by when they end.
func formerSecrets(r *storev1.WebhookEndpointRecord, now time.Time) []*storev1.WebhookSecret {
	var former []*storev1.WebhookSecret
	for _, secret := range r.Secrets[1:] {
		if secret.ExpireTime.AsTime().After(now) {
			former = append(former, secret)
		}
	}
	slices.SortFunc(former, func(a, b *storev1.WebhookSecret) int { return a.ExpireTime.AsTime().Compare(b.ExpireTime.AsTime()) })
	return former
}

// GetWebhookEndpoint returns an endpoint.
func (s *Service) GetWebhookEndpoint(ctx context.Context, req *goodshipv1.GetWebhookEndpointRequest) (*goodshipv1.WebhookEndpoint, error) {
	return s.endpoint(ctx, callerFrom(ctx).Workspace, req.WebhookEndpointId)
}

// ListWebhookEndpoints lists all endpoints, oldest first.
func (s *Service) ListWebhookEndpoints(ctx context.Context, _ *goodshipv1.ListWebhookEndpointsRequest) (*goodshipv1.ListWebhookEndpointsResponse, error) {
	workspace := callerFrom(ctx).Workspace
	records, err := s.store.WebhookEndpoints(ctx, workspace)
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.ListWebhookEndpointsResponse{}
	for _, r := range records {
		w, err := s.seenEndpoint(ctx, workspace, r)
		if err != nil {
			return nil, err
		}
		reply.WebhookEndpoints = append(reply.WebhookEndpoints, w)
	}
	return reply, nil
}

// endpoint reads an endpoint as it is seen.
func (s *Service) endpoint(ctx context.Context, workspace, id string) (*goodshipv1.WebhookEndpoint, error) {
	r, err := s.store.WebhookEndpoint(ctx, workspace, id)
	if err != nil {
		return nil, orMissing(err, noEndpoint())
	}
	return s.seenEndpoint(ctx, workspace, r)
}

// seenEndpoint returns an endpoint as it is seen, with how it does.
func (s *Service) seenEndpoint(ctx context.Context, workspace string, r *storev1.WebhookEndpointRecord) (*goodshipv1.WebhookEndpoint, error) {
	w := r.WebhookEndpoint
	w.Etag = versionEtag(r.Version)
	if former := formerSecrets(r, s.now()); len(former) > 0 {
		w.FormerSecretExpireTime = former[len(former)-1].ExpireTime
	}
	progress, err := s.store.WebhookProgress(ctx, workspace, w.Id)
	if err != nil {
		return nil, orMissing(err, noEndpoint())
	}
	w.DownTime = progress.DownTime
	_, newest, err := s.store.FeedEnds(ctx, workspace)
	if err != nil {
		return nil, err
	}
	w.BehindCount = countOf(newest - s.courier.position(workspace, w.Id, progress.Position))
	parked, err := s.store.Parked(ctx, workspace, w.Id, "", 2*maxParked)
	w.RetryingCount = int32(len(parked))
	return w, err
}

// countOf returns a number of entries of the feed as the API has it.
func countOf(entries int64) int32 { return int32(min(max(0, entries), math.MaxInt32)) }

// UpdateWebhookEndpoint changes an endpoint.
func (s *Service) UpdateWebhookEndpoint(ctx context.Context, req *goodshipv1.UpdateWebhookEndpointRequest) (*goodshipv1.WebhookEndpoint, error) {
	if len(req.UpdateMask.GetPaths()) == 0 {
		return nil, fault.Field("update_mask", "must name at least one field")
	}
	c := callerFrom(ctx)
	_, err := s.update(ctx, c, store.Once{}, func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		r, err := tx.WebhookEndpoint(req.WebhookEndpointId)
		if err != nil {
			return nil, orMissing(err, noEndpoint())
		}
		if !takes(req.Etag, r.Version) {
			return nil, etagMismatch()
		}
		before := proto.CloneOf(r.WebhookEndpoint)
		to, from := r.WebhookEndpoint.ProtoReflect(), req.WebhookEndpoint.ProtoReflect()
		for _, path := range req.UpdateMask.Paths {
			if field := to.Descriptor().Fields().ByName(protoreflect.Name(path)); from.Has(field) {
				to.Set(field, from.Get(field))
			} else {
				to.Clear(field)
			}
		}
		if err := s.checkEndpoint(r.WebhookEndpoint); err != nil || proto.Equal(r.WebhookEndpoint, before) {
			return nil, err
		}
		if r.WebhookEndpoint.State == goodshipv1.WebhookEndpointState_WEBHOOK_ENDPOINT_STATE_ENABLED {
			r.WebhookEndpoint.DisableReason = ""
		}
		r.WebhookEndpoint.UpdateTime = timestamppb.New(tx.Now())
		r.Version++
		return nil, tx.PutWebhookEndpoint(r)
	})
	if err != nil {
		return nil, err
	}
	s.courier.changed(c.Workspace, req.WebhookEndpointId)
	return s.endpoint(ctx, c.Workspace, req.WebhookEndpointId)
}

// DeleteWebhookEndpoint removes an endpoint, and what a deletion that did not come to its end left of it.
func (s *Service) DeleteWebhookEndpoint(ctx context.Context, req *goodshipv1.DeleteWebhookEndpointRequest) (*emptypb.Empty, error) {
	c, found := callerFrom(ctx), false
	for more := true; more; {
		_, err := s.update(ctx, c, store.Once{}, func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
			_, err := tx.WebhookEndpoint(req.WebhookEndpointId)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
			there := err == nil
			more, err = tx.RemoveWebhookEndpoint(req.WebhookEndpointId, pruneSlice)
			found = found || there
			return nil, err
		})
		if err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, noEndpoint()
	}
	s.courier.changed(c.Workspace, req.WebhookEndpointId)
	return &emptypb.Empty{}, nil
}

// RotateWebhookSecret gives an endpoint a new secret, and shows it once. Each former one goes on until its own end, unless all are to
// end now: who lost a reply rotates again, and what is deployed stays good.
func (s *Service) RotateWebhookSecret(ctx context.Context, req *goodshipv1.RotateWebhookSecretRequest) (*goodshipv1.RotateWebhookSecretResponse, error) {
	c, secret, former := callerFrom(ctx), newWebhookSecret(), formerSecretFor
	if req.ExpireAfter != nil {
		former = req.ExpireAfter.AsDuration()
	}
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		r, err := tx.WebhookEndpoint(req.WebhookEndpointId)
		if err != nil {
			return nil, orMissing(err, noEndpoint())
		}
		secrets := []*storev1.WebhookSecret{{Secret: secret}}
		if former > 0 {
			earlier := formerSecrets(r, s.now())
			if len(earlier)+1 >= maxSecrets {
				return nil, tooManySecrets(earlier[0].ExpireTime.AsTime())
			}
			latest := &storev1.WebhookSecret{Secret: r.Secrets[0].Secret, ExpireTime: timestamppb.New(s.now().Add(former))}
			secrets = append(append(secrets, latest), earlier...)
		}
		r.Secrets, r.WebhookEndpoint.UpdateTime = secrets, timestamppb.New(tx.Now())
		r.Version++
		return &storev1.Receipt{ObjectId: req.WebhookEndpointId}, tx.PutWebhookEndpoint(r)
	})
	if err != nil {
		return nil, err
	}
	reply := &goodshipv1.RotateWebhookSecretResponse{Secret: secret}
	if result.Replayed {
		reply.Secret, reply.SecretAbsentReason = "", goodshipv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN
	} else {
		s.courier.changed(c.Workspace, req.WebhookEndpointId)
	}
	reply.WebhookEndpoint, err = s.endpoint(ctx, c.Workspace, req.WebhookEndpointId)
	return reply, err
}

func noEndpoint() error {
	return fault.New(codes.NotFound, goodshipv1.ErrorReason_ERROR_REASON_WEBHOOK_ENDPOINT_NOT_FOUND,
		"The workspace has no such webhook endpoint. List its endpoints.")
}

func tooManyEndpoints() error {
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_LIMIT_REACHED,
		"The workspace has %d webhook endpoints, which is all that it can have. Delete one first.", maxEndpoints).With("limit", strconv.Itoa(maxEndpoints))
}

func tooManySecrets(until time.Time) error {
	return fault.New(codes.FailedPrecondition, goodshipv1.ErrorReason_ERROR_REASON_LIMIT_REACHED,
		"The endpoint has %d secrets that sign, which is all that it can have. Change receivers over to the newest and rotate with expire_after 0s, which ends all former ones; or rotate after %s, when one of them ends.",
		maxSecrets, until.UTC().Format(time.RFC3339)).With("limit", strconv.Itoa(maxSecrets))
}
