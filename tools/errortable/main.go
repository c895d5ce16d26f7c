// Command errortable writes the table of error reasons into a document, between two marker lines, from the comments of the
// enum ErrorReason. It reads a compiled FileDescriptorSet, as `buf build` makes it, from standard input.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

const (
	enum   = "goodship.v1.ErrorReason"
	prefix = "ERROR_REASON_"
	begin  = "<!-- error reasons: written by make generate -->\n"
	end    = "<!-- end of error reasons -->\n"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("errortable: ")
	doc := flag.String("doc", "docs/errors.md", "document whose table is written anew")
	flag.Parse()
	if err := run(os.Stdin, *doc); err != nil {
		log.Fatal(err)
	}
}

func run(image io.Reader, doc string) error {
	raw, err := io.ReadAll(image)
	if err != nil {
		return err
	}
	table, err := tableOf(raw)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	after, err := replace(string(before), table)
	if err != nil {
		return fmt.Errorf("%s: %w", doc, err)
	}
	return os.WriteFile(doc, []byte(after), 0o644)
}

// replace puts a table between the markers of a document.
func replace(doc, table string) (string, error) {
	head, rest, ok := strings.Cut(doc, begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", errors.New("it lacks the lines that mark where the table stands")
	}
	return head + begin + "\n" + table + "\n" + end + tail, nil
}

// tableOf returns the table in Markdown, in the order of the enum.
func tableOf(image []byte) (string, error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(image, &set); err != nil {
		return "", err
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return "", err
	}
	d, err := files.FindDescriptorByName(enum)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| reason | code | what it means, and what to do |\n|---|---|---|\n")
	values := d.(protoreflect.EnumDescriptor).Values()
	for i := 1; i < values.Len(); i++ {
		line, err := row(values.Get(i))
		if err != nil {
			return "", err
		}
		b.WriteString(line)
	}
	return b.String(), nil
}

// begins is how the comment of a reason begins: with its code or codes.
var begins = regexp.MustCompile(`^([A-Z][A-Z_]{3,}[^.]*)\. (.+)$`)

// row is the row of one reason. The comment of a reason that is no error names no code.
func row(v protoreflect.EnumValueDescriptor) (string, error) {
	comment := strings.Join(strings.Fields(v.ParentFile().SourceLocations().ByDescriptor(v).LeadingComments), " ")
	if comment == "" {
		return "", fmt.Errorf("%s has no comment", v.Name())
	}
	code, meaning := "", comment
	if m := begins.FindStringSubmatch(comment); m != nil {
		code, meaning = m[1], m[2]
	}
	name := strings.TrimPrefix(string(v.Name()), prefix)
	return fmt.Sprintf("| `%s` | %s | %s |\n", name, code, strings.ReplaceAll(meaning, "|", `\|`)), nil
}
