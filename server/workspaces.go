package main

import (
	"context"
	"fmt"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"google.golang.org/grpc"
)

type workspaces struct {
	Create workspacesCreate `cmd:"" help:"Make a workspace, and show its id and first key, which has every scope. The key is shown once."`
	List   workspacesList   `cmd:"" help:"List all workspaces."`
}

type workspacesCreate struct {
	Name string `arg:"" help:"The product's name."`
	output
}

// Run makes the workspace.
func (c *workspacesCreate) Run(ctx context.Context, p *place) error {
	return p.asOperator(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		made, err := goodshipv1.NewOperatorServiceClient(conn).CreateWorkspace(ctx, &goodshipv1.CreateWorkspaceRequest{DisplayName: c.Name})
		if err != nil {
			return err
		}
		return c.show(p, made, fmt.Sprintf("workspace  %s\nkey        %s\n\nThe key has every scope. It is shown this once.\n", made.GetWorkspace().GetId(), made.Secret))
	})
}

type workspacesList struct{ output }

// Run lists the workspaces.
func (c *workspacesList) Run(ctx context.Context, p *place) error {
	return p.asOperator(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		client := goodshipv1.NewOperatorServiceClient(conn)
		all, err := pages(func(token string) ([]*goodshipv1.Workspace, string, error) {
			page, err := client.ListWorkspaces(ctx, &goodshipv1.ListWorkspacesRequest{PageSize: 100, PageToken: token})
			return page.GetWorkspaces(), page.GetNextPageToken(), err
		})
		if err != nil {
			return err
		}
		rows := [][]string{{"ID", "NAME", "MADE"}}
		for _, w := range all {
			rows = append(rows, []string{w.Id, w.DisplayName, instant(w.CreateTime)})
		}
		return c.show(p, &goodshipv1.ListWorkspacesResponse{Workspaces: all}, table(rows))
	})
}
