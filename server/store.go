package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	goodshipv1 "github.com/goodship/goodship/gen/go/goodship/v1"
	"github.com/goodship/goodship/server/store/bolt"
	"google.golang.org/grpc"
)

type backup struct {
	File  string `arg:"" help:"Where to: a file, or - for stdout. Whoever has the file has everything in the store."`
	Force bool   `help:"Replace the file if there is one, once the new one is whole."`
}

// Run writes the backup.
func (c *backup) Run(ctx context.Context, p *place) error {
	if c.File == "-" {
		return p.asOperator(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			_, err := backUp(ctx, conn, p.stdout)
			return err
		})
	}
	if err := c.check(p); err != nil {
		return err
	}
	return p.asOperator(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		var size int64
		err := writeWhole(c.File, c.Force, func(f *os.File) (err error) {
			size, err = backUp(ctx, conn, f)
			return err
		})
		if err != nil {
			return fmt.Errorf("no backup was made: %w", err)
		}
		_, err = fmt.Fprintf(p.stdout, "%s is a whole backup, %d bytes\n", c.File, size)
		return err
	})
}

// check says early what writeWhole would say at the end.
func (c *backup) check(p *place) error {
	there, err := os.Stat(c.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case there.IsDir():
		return fmt.Errorf("%s is a folder: name a file in it", c.File)
	case !there.Mode().IsRegular():
		return fmt.Errorf("%s is no file that could be replaced: write to stdout with -", c.File)
	case p.holds(there):
		return fmt.Errorf("%s is the server's own: name another file", c.File)
	case !c.Force:
		return fmt.Errorf("%s is there already: name another file, or replace it with --force", c.File)
	}
	return nil
}

// holds reports whether a file is one of the server's in the data folder.
func (p *place) holds(file fs.FileInfo) bool {
	return slices.ContainsFunc([]string{storeName, storeName + ".owner", operatorKeyName}, func(name string) bool {
		kept, err := os.Stat(filepath.Join(p.data, name))
		return err == nil && os.SameFile(file, kept)
	})
}

// backUp copies the backup of the store, and returns its size in bytes. It is whole only if the error is nil.
func backUp(ctx context.Context, conn grpc.ClientConnInterface, to io.Writer) (size int64, err error) {
	stream, err := goodshipv1.NewOperatorServiceClient(conn).BackupStore(ctx, &goodshipv1.BackupStoreRequest{})
	if err != nil {
		return 0, err
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return size, plain(err)
		}
		n, err := to.Write(part.Data)
		size += int64(n)
		if err != nil {
			return size, err
		}
	}
}

// writeWhole writes a file, for its owner alone, that gets its name when it is whole and on the disk; until then it has
// another beside it, and if writing fails, none. It takes another file's place only if it may replace it.
func writeWhole(path string, replace bool, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // by then it has another name, or is given up
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := name(f.Name(), path, replace); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// name gives a file its name.
func name(temp, path string, replace bool) error {
	if replace {
		return os.Rename(temp, path)
	}
	err := os.Link(temp, path) // unlike Rename, it replaces nothing
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = os.Rename(temp, path) // a file system without links
	}
	return err
}

type restore struct {
	File  string `arg:"" help:"The backup: a file, or - for stdin."`
	Force bool   `help:"Replace a store that is there, and keep its file beside the new one."`
}

// Run makes the store.
func (c *restore) Run(ctx context.Context, p *place) error {
	if err := p.needNoServer(ctx, "a store is not replaced under it"); err != nil {
		return err
	}
	from := p.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("the backup cannot be read: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		from = f
	}
	until := interruptible(ctx, from)
	defer until.Close()
	path := filepath.Join(p.data, storeName)
	before, err := c.put(path, until)
	if err != nil {
		return err
	}
	text := path + " is restored\n"
	if before != "" {
		text += "the store from before is " + before + ": remove it when you need it no longer\n"
	}
	_, err = io.WriteString(p.stdout, text)
	return err
}

// put makes the store, and returns where the one from before is, if there was one.
func (c *restore) put(path string, from io.Reader) (before string, err error) {
	if c.Force {
		return bolt.Replace(path, from)
	}
	err = bolt.Restore(path, from)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%s is there already: choose another folder with --data, or replace it with --force, which keeps it beside the new one", path)
	}
	return "", err
}

// interruptible is a reader until the context is done. Its end ends whatever is still read.
func interruptible(ctx context.Context, from io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = in.CloseWithError(errInterrupted) })
	go func() {
		defer stop()
		_, err := io.Copy(in, from)
		_ = in.CloseWithError(err)
	}()
	return out
}

type check struct {
	Deep bool `help:"Also hold each message to what its conversation says of it."`
	output
}

// Run checks the store. Problems are its output, and an error.
func (c *check) Run(ctx context.Context, p *place) error {
	return p.asOperator(ctx, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		found, err := goodshipv1.NewOperatorServiceClient(conn).CheckStore(ctx, &goodshipv1.CheckStoreRequest{Deep: c.Deep})
		if err != nil {
			return err
		}
		text := fmt.Sprintf("read %d workspaces, %d conversations, %d messages, %d events\n", found.WorkspaceCount, found.ConversationCount, found.MessageCount, found.EventCount)
		for _, problem := range found.Problems {
			text += problem + "\n"
		}
		if found.ProblemCount == 0 {
			text += "nothing is wrong\n"
		}
		if err := c.show(p, found, text); err != nil || found.ProblemCount == 0 {
			return err
		}
		return fmt.Errorf("the store has problems (%d): restore a backup from before them", found.ProblemCount)
	})
}

type compact struct{}

// Run compacts the store's file.
func (*compact) Run(ctx context.Context, p *place) error {
	if err := errors.Join(p.needStore(), p.needNoServer(ctx, "its file cannot be rewritten under it")); err != nil {
		return err
	}
	path := filepath.Join(p.data, storeName)
	before, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := bolt.Compact(path); err != nil {
		return err
	}
	after, err := os.Stat(path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s has %d bytes now, %d before\n", path, after.Size(), before.Size())
	return err
}
