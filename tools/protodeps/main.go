// Command protodeps writes the .proto files of other projects that ours import, so that buf resolves them with no
// network and no registry of its own.
//
// It reads the import lines of our protos and follows them through the descriptors that are compiled into the packages
// of linked.go. So their versions are those of go.mod, the same that the generated code is compiled against. Only
// comments are lost. Files under google/protobuf/ are left out: buf brings them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("protodeps: ")
	protos := flag.String("proto", "proto", "directory of the protos whose imports are wanted")
	out := flag.String("out", "third_party/proto", "directory to write to; what it held is removed")
	flag.Parse()
	if err := run(*protos, *out); err != nil {
		log.Fatal(err)
	}
}

// run replaces out by everything that the protos under dir import, directly or not, and do not define.
func run(dir, out string) error {
	imported, err := imports(dir)
	if err != nil {
		return err
	}
	found := make(map[string]protoreflect.FileDescriptor)
	for path, importer := range imported {
		if err := follow(path, importer, found); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	// The directory is a module of buf.yaml, so it must exist even when nothing is imported.
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for path, file := range found {
		if err := write(file, filepath.Join(out, filepath.FromSlash(path))); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// importLine is enough of the grammar: buf format, which `make lint` demands, puts each import on a line of its own.
var importLine = regexp.MustCompile(`(?m)^\s*import\s+(?:public\s+|weak\s+)?"([^"]+)"\s*;`)

// imports returns the paths that the protos under dir import and dir does not hold, each with a file that imports it.
func imports(dir string) (map[string]string, error) {
	imported := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".proto" {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range importLine.FindAllSubmatch(source, -1) {
			name := string(match[1])
			_, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
			if errors.Is(err, fs.ErrNotExist) {
				imported[name] = path
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	return imported, err
}

// follow adds the file called path to found, and before it everything that it imports.
func follow(path, importer string, found map[string]protoreflect.FileDescriptor) error {
	if found[path] != nil || strings.HasPrefix(path, "google/protobuf/") {
		return nil
	}
	file, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return fmt.Errorf("%s imports %q, which is neither ours nor in a package of tools/protodeps/linked.go: "+
			"correct the path, or add the Go package generated from it", importer, path)
	}
	for i := range file.Imports().Len() {
		if err := follow(file.Imports().Get(i).Path(), path, found); err != nil {
			return err
		}
	}
	found[path] = file
	return nil
}

func write(file protoreflect.FileDescriptor, dst string) error {
	source, err := new(protoprint.Printer).PrintProtoToString(file)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	return os.WriteFile(dst, []byte(source), 0o644)
}
