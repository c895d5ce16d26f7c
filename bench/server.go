package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// server is a server in a process of its own.
type server struct {
	where
	cmd  *exec.Cmd
	ask  io.WriteCloser
	says *json.Decoder
	conn *grpc.ClientConn
}

// start starts this program as a server.
func start(ctx context.Context, how string) (*server, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.CommandContext(ctx, program)}
	s.cmd.Env, s.cmd.Stderr = append(os.Environ(), asServer+"="+how), os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if s.ask, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.says = json.NewDecoder(bufio.NewReader(out))
	if err := s.says.Decode(&s.where); err != nil {
		return nil, errors.Join(fmt.Errorf("the server does not start: %w", err), s.cmd.Wait())
	}
	s.conn, err = s.dial()
	return s, err
}

// stop ends the process.
func (s *server) stop() error {
	return errors.Join(s.conn.Close(), s.ask.Close(), s.cmd.Wait())
}

// used returns what the server has used; collected says after garbage collections.
func (s *server) used(collected bool) (u usage, err error) {
	question := "used\n"
	if collected {
		question = "collect\n"
	}
	if _, err := io.WriteString(s.ask, question); err != nil {
		return u, err
	}
	return u, s.says.Decode(&u)
}

// dial returns a connection of its own.
func (s *server) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableServiceConfig())
}

// as returns a context whose calls are somebody's; the backend's if empty.
func (s *server) as(ctx context.Context, who string) context.Context {
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.Key)
	if who != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "goodship-act-for", who)
	}
	return ctx
}

// conversation opens a conversation.
func (s *server) conversation(ctx context.Context) (string, error) {
	c, err := goodshipv1.NewConversationServiceClient(s.conn).CreateConversation(s.as(ctx, "customer/ada"), &goodshipv1.CreateConversationRequest{Text: "Ahoy"})
	return c.GetId(), err
}

// conversations opens so many at once.
func (s *server) conversations(ctx context.Context, n int) ([]string, error) {
	ids, errs, next := make([]string, n), make(chan error, n), make(chan int)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := range next {
				id, err := s.conversation(ctx)
				ids[i] = id
				errs <- err
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
	for range n {
		if err := <-errs; err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// send says something in a conversation, as the backend: that is one event each time, since it neither answers nor waits.
func (s *server) send(ctx context.Context, conversation, text string) error {
	_, err := goodshipv1.NewMessageServiceClient(s.conn).SendMessage(s.as(ctx, ""), &goodshipv1.SendMessageRequest{ConversationId: conversation, Text: text})
	return err
}
