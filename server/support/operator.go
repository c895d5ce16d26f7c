package support

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	storev1 "github.com/goodship/goodship/gen/go/goodship/store/v1"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// chunkSize is the most bytes of a backup that one message carries.
	chunkSize = 64 << 10
	// maxProblems is how many problems a reply to CheckStore names.
	maxProblems = 100
)

// everyScope returns every scope that there is, in order.
func everyScope() []goodshipv1.Scope {
	var all []goodshipv1.Scope
	values := goodshipv1.Scope(0).Descriptor().Values()
	for i := range values.Len() {
		if scope := goodshipv1.Scope(values.Get(i).Number()); scope != goodshipv1.Scope_SCOPE_UNSPECIFIED {
			all = append(all, scope)
		}
	}
	return all
}

// CreateWorkspace makes a workspace with a first key that has every scope.
func (s *Service) CreateWorkspace(ctx context.Context, req *goodshipv1.CreateWorkspaceRequest) (*goodshipv1.CreateWorkspaceResponse, error) {
	w := newWorkspace(newWorkspaceID(req.RequestId), req.DisplayName)
	id := w.Workspace.Id
	key, secret := newAPIKey(id, "First key", everyScope())
	c := callerFrom(ctx)
	c.Workspace = id
	result, err := s.update(ctx, c, once(c, req), func(tx store.Tx, _ Caller) (*storev1.Receipt, error) {
		if _, err := tx.Workspace(); err == nil { // made under the same request id, so long ago that it is forgotten
			return nil, store.ErrRequestIDReused
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		w.Workspace.CreateTime = timestamppb.New(tx.Now())
		key.ApiKey.CreateTime = w.Workspace.CreateTime
		if err := tx.PutWorkspace(w); err != nil {
			return nil, err
		}
		return &storev1.Receipt{ObjectId: key.ApiKey.Id}, tx.PutAPIKey(key)
	})
	if err != nil {
		return nil, err
	}
	if !result.Replayed {
		return &goodshipv1.CreateWorkspaceResponse{Workspace: seenWorkspace(w), ApiKey: key.ApiKey, Secret: secret}, nil
	}
	if w, err = s.store.Workspace(ctx, id); err != nil {
		return nil, err
	}
	if key, err = s.store.APIKey(ctx, id, result.Receipt.ObjectId); err != nil {
		return nil, err
	}
	return &goodshipv1.CreateWorkspaceResponse{
		Workspace: seenWorkspace(w), ApiKey: seenKey(key), SecretAbsentReason: goodshipv1.ErrorReason_ERROR_REASON_SECRET_ALREADY_SHOWN,
	}, nil
}

// newWorkspaceID returns the id of a new workspace: of one that a request id makes, always the same, so that a repetition
// finds it.
func newWorkspaceID(requestID string) string {
	if requestID == "" {
		return newID(workspacePrefix)
	}
	hash := sha256.Sum256([]byte("workspace of the request " + requestID))
	return workspacePrefix + strings.ToLower(base32hex.EncodeToString(hash[:16]))
}

// newWorkspace returns a workspace with the settings that it begins with.
func newWorkspace(id, displayName string) *storev1.WorkspaceRecord {
	return &storev1.WorkspaceRecord{Version: 1, Workspace: &goodshipv1.Workspace{
		Id: id, DisplayName: displayName, PersonasAllowed: true, OnBroken: goodshipv1.OnBroken_ON_BROKEN_NONE, TimeZone: "UTC",
		Promise:     durationpb.New(5 * time.Minute),
		AssumeAfter: durationpb.New(72 * time.Hour),
		LapseAfter:  durationpb.New(14 * 24 * time.Hour),
		NotifyAfter: durationpb.New(2 * time.Minute),
		AwayAfter:   durationpb.New(2 * time.Minute),
	}}
}

// seenWorkspace returns a record as it is seen.
func seenWorkspace(r *storev1.WorkspaceRecord) *goodshipv1.Workspace {
	r.Workspace.Etag = versionEtag(r.Version)
	return withDefaults(r.Workspace)
}

// withDefaults returns settings with what those from before they could be set mean: that nothing happens when a promise is broken,
// and the time zone.
func withDefaults(w *goodshipv1.Workspace) *goodshipv1.Workspace {
	if w.OnBroken == goodshipv1.OnBroken_ON_BROKEN_UNSPECIFIED {
		w.OnBroken = goodshipv1.OnBroken_ON_BROKEN_NONE
	}
	w.TimeZone = timeZone(w)
	return w
}

// ListWorkspaces lists all workspaces by id.
func (s *Service) ListWorkspaces(ctx context.Context, req *goodshipv1.ListWorkspacesRequest) (*goodshipv1.ListWorkspacesResponse, error) {
	p, err := s.openPage(callerFrom(ctx), req)
	if err != nil {
		return nil, err
	}
	records, err := s.store.Workspaces(ctx)
	if err != nil {
		return nil, err
	}
	records = slices.DeleteFunc(records, func(r *storev1.WorkspaceRecord) bool { return r.Workspace.Id <= string(p.after) })
	reply := &goodshipv1.ListWorkspacesResponse{}
	records, reply.NextPageToken = cut(p, records, func(r *storev1.WorkspaceRecord) string { return r.Workspace.Id })
	for _, r := range records {
		reply.Workspaces = append(reply.Workspaces, seenWorkspace(r))
	}
	return reply, nil
}

// BackupStore sends a backup of the whole store. Nothing of the store is held while the caller is slow to read.
func (s *Service) BackupStore(_ *goodshipv1.BackupStoreRequest, stream grpc.ServerStreamingServer[goodshipv1.BackupStoreResponse]) error {
	ctx := stream.Context()
	callerFrom(ctx)
	err := s.store.Backup(ctx, &chunks{stream})
	if ended := ctx.Err(); ended != nil {
		return ended // rather than what became of the backup by it
	}
	return err
}

// chunks sends what is written to it, in messages of at most chunkSize bytes.
type chunks struct {
	stream grpc.ServerStreamingServer[goodshipv1.BackupStoreResponse]
}

func (c *chunks) Write(p []byte) (int, error) {
	sent := 0
	for chunk := range slices.Chunk(p, chunkSize) {
		// A copy: p is the writer's to use again, and who observes messages may look at one later.
		if err := c.stream.Send(&goodshipv1.BackupStoreResponse{Data: bytes.Clone(chunk)}); err != nil {
			return sent, err
		}
		sent += len(chunk)
	}
	return sent, nil
}

// CheckStore compares what is stored with itself.
func (s *Service) CheckStore(ctx context.Context, req *goodshipv1.CheckStoreRequest) (*goodshipv1.CheckStoreResponse, error) {
	callerFrom(ctx)
	report, err := s.store.Check(ctx, req.Deep)
	if err != nil {
		return nil, err
	}
	return &goodshipv1.CheckStoreResponse{
		WorkspaceCount: saturated(report.Workspaces), ConversationCount: saturated(report.Conversations),
		MessageCount: saturated(report.Messages), EventCount: saturated(report.Events),
		Problems:     report.Problems[:min(len(report.Problems), maxProblems)],
		ProblemCount: saturated(int64(len(report.Problems))),
	}, nil
}

// saturated returns a count as far as the contract can say it.
func saturated(n int64) int32 { return int32(min(n, math.MaxInt32)) }
