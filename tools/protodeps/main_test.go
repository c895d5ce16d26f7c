package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRunWritesWhatIsImported(t *testing.T) {
	protos, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	mustWrite(t, filepath.Join(protos, "a", "a.proto"), `syntax = "proto3";
import "a/b.proto";
import public "google/api/annotations.proto";
import "google/protobuf/empty.proto";
// import "google/rpc/status.proto";
`)
	mustWrite(t, filepath.Join(protos, "a", "b.proto"), `syntax = "proto3";`)
	mustWrite(t, filepath.Join(out, "left", "over.proto"), `syntax = "proto3";`)

	if err := run(protos, out); err != nil {
		t.Fatal(err)
	}

	// http.proto is imported by annotations.proto only; ours and those that buf brings are left out.
	want := []string{"google/api/annotations.proto", "google/api/http.proto"}
	if got := mustList(t, out); !slices.Equal(got, want) {
		t.Errorf("got files %q, want %q", got, want)
	}
	source, err := os.ReadFile(filepath.Join(out, "google/api/annotations.proto"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"package google.api;", "extend google.protobuf.MethodOptions"} {
		if !strings.Contains(string(source), want) {
			t.Errorf("annotations.proto lacks %q:\n%s", want, source)
		}
	}
}

func TestRunRefusesUnknownImport(t *testing.T) {
	protos, out := t.TempDir(), t.TempDir()
	mustWrite(t, filepath.Join(protos, "a.proto"), `import "google/api/annotation.proto";`)
	mustWrite(t, filepath.Join(out, "kept.proto"), "")

	err := run(protos, out)
	if err == nil || !strings.Contains(err.Error(), "a.proto imports \"google/api/annotation.proto\"") {
		t.Errorf("got error %v, want one that names the file and its import", err)
	}
	if got := mustList(t, out); !slices.Equal(got, []string{"kept.proto"}) {
		t.Errorf("got files %q after an error, want what was there", got)
	}
}

func TestRunWithNoImports(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	if err := run(t.TempDir(), out); err != nil {
		t.Fatal(err)
	}
	if got := mustList(t, out); len(got) != 0 {
		t.Errorf("got files %q, want an empty directory", got)
	}
}

func mustWrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// mustList returns the files under dir, sorted, with slashes.
func mustList(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
