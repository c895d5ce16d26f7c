// Command page is a product that embeds the live conversation: the smallest honest one, to copy from.
//
//	export KEY=…   # what the server printed when it first started
//	go run ./examples/page
//
// Then http://localhost:8000/?as=customer is the page of a customer, and http://localhost:8000/?as=agent that of somebody who
// helps. This program is the product's own backend. It holds the API key, serves the page, and gives it a token of the
// person who is signed in; with that the page calls Goodship by itself (goodship.js).
//
// There is no log-in here: whoever asks is who they say they are. So it listens on this machine only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/goodship/goodship/client"
	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

func main() {
	rest := os.Getenv("GOODSHIP")
	if rest == "" {
		rest = "http://127.0.0.1:8080"
	}
	grpc := flag.String("grpc", "127.0.0.1:9090", "where Goodship's gRPC is, for this program: without TLS, so on this machine")
	flag.StringVar(&rest, "rest", rest, "where Goodship's REST is, for the page; the variable GOODSHIP is its default")
	port := flag.String("port", "8000", "the port of localhost to serve the page on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *grpc, rest, *port, os.Getenv("KEY"), log.Default()); err != nil {
		log.Fatal(err)
	}
}

// run serves the page until the context is done.
func run(ctx context.Context, grpc, rest, port, key string, log *log.Logger) error {
	if key == "" {
		return errors.New("the variable KEY is empty: paste the line `export GOODSHIP=… KEY=…` that the server printed, or make a key with `go run ./server keys create --name page --scope act --scope admin`")
	}
	goodship, err := client.New(grpc, client.WithToken(key), client.WithInsecure())
	if err != nil {
		return err
	}
	defer goodship.Close()
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return fmt.Errorf("%w; -port takes another", err)
	}
	host := fmt.Sprintf("localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: newProduct(goodship, host, rest, log), ReadHeaderTimeout: 5 * time.Second}
	if err := prepare(ctx, goodship, "http://"+host, log); err != nil {
		return errors.Join(err, listener.Close())
	}
	log.Printf("a customer's page: http://%s/?as=customer", host)
	log.Printf("an agent's page:   http://%s/?as=agent", host)
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// prepare does once what a product does when it is set up: it makes its agent known, and lets its pages call.
func prepare(ctx context.Context, goodship *client.Client, origin string, log *log.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err := goodship.GetAgent(ctx, &goodshipv1.GetAgentRequest{AgentId: agent})
	if client.IsReason(err, goodshipv1.ErrorReason_ERROR_REASON_AGENT_NOT_FOUND) {
		log.Printf("adding the agent %s to the directory", agent)
		_, err = goodship.UpsertAgent(ctx, &goodshipv1.UpsertAgentRequest{AgentId: agent, Agent: &goodshipv1.Agent{DisplayName: "Captain"}})
	}
	if err != nil {
		return err
	}
	return allow(ctx, goodship, origin, log)
}

// allow adds an origin to those whose pages may call, unless it is there. The etag keeps what somebody else adds meanwhile.
func allow(ctx context.Context, goodship *client.Client, origin string, log *log.Logger) error {
	workspace, err := goodship.GetWorkspace(ctx, &goodshipv1.GetWorkspaceRequest{})
	if err != nil || slices.Contains(workspace.GetAllowedOrigins(), origin) {
		return err
	}
	log.Printf("adding %s to the workspace's allowed_origins: %q", origin, workspace.GetAllowedOrigins())
	_, err = goodship.UpdateWorkspace(ctx, &goodshipv1.UpdateWorkspaceRequest{
		Workspace:  &goodshipv1.Workspace{AllowedOrigins: append(workspace.GetAllowedOrigins(), origin)},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"allowed_origins"}},
		Etag:       workspace.GetEtag(),
	})
	return err
}
