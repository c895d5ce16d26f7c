package live

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// scope is what somebody watches: a conversation, `-` for all of a customer's, or with neither the desk.
type scope struct {
	conversation string
	// who watches: `customer/<id>`, `agent/<id>`, or empty for the backend.
	who string
	// state, owner and unowned are what a desk asks for.
	state   goodshipv1.State
	owner   string
	unowned bool
}

func (s scope) customer() bool { return strings.HasPrefix(s.who, "customer/") }

func (s scope) filters() bool { return s.state != 0 || s.owner != "" || s.unowned }

// stream returns updates until its end, which is io.EOF, or an error as gRPC has them.
type stream func() (*goodshipv1.WatchUpdate, error)

// overGRPC opens a stream that ends with its context.
func (s *scene) overGRPC(ctx context.Context, conn *grpc.ClientConn, of scope, cursor string) (stream, error) {
	ctx = s.as(ctx, of.who)
	if of.conversation == "" {
		got, err := goodshipv1.NewDeskServiceClient(conn).WatchDesk(ctx, &goodshipv1.WatchDeskRequest{Cursor: cursor, State: of.state, OwnerId: of.owner, Unowned: of.unowned})
		return receiver(got), err
	}
	got, err := goodshipv1.NewConversationServiceClient(conn).WatchConversation(ctx, &goodshipv1.WatchConversationRequest{ConversationId: of.conversation, Cursor: cursor})
	return receiver(got), err
}

func receiver(s grpc.ServerStreamingClient[goodshipv1.WatchUpdate]) stream {
	return func() (*goodshipv1.WatchUpdate, error) { return s.Recv() }
}

// overSDK opens a watch of the Go SDK, which goes on by itself over whatever a client is to live with.
func (s *scene) overSDK(ctx context.Context, conn *grpc.ClientConn, of scope, cursor string) (next stream, stop func()) {
	ctx = s.as(ctx, of.who)
	updates := client.Watch(ctx, goodshipv1.NewDeskServiceClient(conn).WatchDesk, &goodshipv1.WatchDeskRequest{Cursor: cursor, State: of.state, OwnerId: of.owner, Unowned: of.unowned})
	if of.conversation != "" {
		updates = client.Watch(ctx, goodshipv1.NewConversationServiceClient(conn).WatchConversation, &goodshipv1.WatchConversationRequest{ConversationId: of.conversation, Cursor: cursor})
	}
	pull, stop := iter.Pull2(updates)
	return func() (*goodshipv1.WatchUpdate, error) {
		u, err, ok := pull()
		if !ok {
			return nil, io.EOF
		}
		return u, err
	}, stop
}

// overHTTP opens a stream of server-sent events that ends with its context. The cursor goes into the query or, with a stale one
// there, into the header, which is what counts.
func (s *scene) overHTTP(ctx context.Context, of scope, cursor string, inHeader bool) (stream, error) {
	path, query := "/v1/desk:watch", url.Values{}
	if of.conversation != "" {
		path = "/v1/conversations/" + of.conversation + ":watch"
	} else {
		query = deskQuery(of)
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	if inHeader {
		query.Set("cursor", "stale")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.server.REST+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.server.Key)
	if of.who != "" {
		req.Header.Set("Goodship-Act-For", of.who)
	}
	if inHeader {
		req.Header.Set("Last-Event-ID", cursor)
	}
	resp, err := s.web.Do(req)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp)
	}
	return events(resp.Body), nil
}

func deskQuery(of scope) url.Values {
	query := url.Values{}
	if of.state != 0 {
		query.Set("state", of.state.String())
	}
	if of.owner != "" {
		query.Set("ownerId", of.owner)
	}
	if of.unowned {
		query.Set("unowned", "true")
	}
	return query
}

// refusal is what a reply without a stream says.
func refusal(resp *http.Response) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	var said spb.Status
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, &said); err != nil {
		return status.Errorf(codes.Internal, "HTTP %d %s", resp.StatusCode, body)
	}
	return status.ErrorProto(&said)
}

// events reads server-sent events.
func events(body io.Reader) stream {
	in := bufio.NewReader(body)
	return func() (*goodshipv1.WatchUpdate, error) {
		for {
			e, err := readEvent(in)
			if err != nil {
				return nil, err
			}
			if len(e.data) > 0 {
				return e.update()
			}
		}
	}
}

// event is one of server-sent events.
type event struct {
	id, name string
	data     []byte
}

// readEvent reads to the empty line behind an event. What a cut connection leaves of one is none.
func readEvent(in *bufio.Reader) (e event, err error) {
	for {
		text, err := in.ReadBytes('\n')
		if err != nil {
			if errors.Is(err, io.EOF) && len(text) == 0 {
				return e, io.EOF
			}
			return e, status.Error(codes.Unavailable, err.Error())
		}
		field, value, _ := bytes.Cut(bytes.TrimSuffix(text, []byte("\n")), []byte(": "))
		switch string(field) {
		case "":
			return e, nil
		case "id":
			e.id = string(value)
		case "event":
			e.name = string(value)
		case "data":
			e.data = value
		case "retry":
		default:
			return e, fmt.Errorf("a line that is none of an event: %q", text)
		}
	}
}

// update returns what an event says: an update, or why the stream ends.
func (e event) update() (*goodshipv1.WatchUpdate, error) {
	if e.name == "error" {
		var said spb.Status
		if err := protojson.Unmarshal(e.data, &said); err != nil {
			return nil, fmt.Errorf("an error event says %s: %w", e.data, err)
		}
		return nil, status.ErrorProto(&said)
	}
	u := new(goodshipv1.WatchUpdate)
	if err := protojson.Unmarshal(e.data, u); err != nil {
		return nil, fmt.Errorf("an event says %s: %w", e.data, err)
	}
	if u.Cursor != e.id {
		return nil, fmt.Errorf("an event's id is %q and its cursor %q", e.id, u.Cursor)
	}
	return u, nil
}

// infoOf returns why a stream ended with an error, and where it says that it can go on; empty if it does not say.
func infoOf(err error) (reason, cursor string) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason, info.Metadata["cursor"]
		}
	}
	return "", ""
}
