package main

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// image is a compiled file with the enum ErrorReason, whose second value has a comment.
func image(t *testing.T, comment string) []byte {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("goodship/v1/error_reason.proto"), Package: proto.String("goodship.v1"), Syntax: proto.String("proto3"),
		EnumType: []*descriptorpb.EnumDescriptorProto{{Name: proto.String("ErrorReason"), Value: []*descriptorpb.EnumValueDescriptorProto{
			{Name: proto.String("ERROR_REASON_UNSPECIFIED"), Number: proto.Int32(0)},
			{Name: proto.String("ERROR_REASON_LOST"), Number: proto.Int32(1)},
		}}},
		SourceCodeInfo: &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{
			{Path: []int32{5, 0, 2, 1}, Span: []int32{1, 0, 1}, LeadingComments: proto.String(comment)},
		}},
	}}}
	raw, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTable(t *testing.T) {
	for comment, want := range map[string]string{
		" NOT_FOUND (REST: 404). It is lost.\n Search | find it. Metadata: `id`.\n": "| `LOST` | NOT_FOUND (REST: 404) | It is lost. Search \\| find it. Metadata: `id`. |",
		" The reason why nothing is lost. Not an error.\n":                          "| `LOST` |  | The reason why nothing is lost. Not an error. |",
	} {
		got, err := tableOf(image(t, comment))
		if err != nil || !strings.HasSuffix(strings.TrimSpace(got), want) || strings.Contains(got, "UNSPECIFIED") {
			t.Errorf("got %q, %v, want %q at its end", got, err, want)
		}
	}
	if _, err := tableOf(image(t, "")); err == nil {
		t.Error("a reason without a comment has a row")
	}
}

func TestReplace(t *testing.T) {
	got, err := replace("a\n"+begin+"old\n"+end+"b\n", "new\n")
	if want := "a\n" + begin + "\nnew\n\n" + end + "b\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if again, err := replace(got, "new\n"); err != nil || again != got {
		t.Errorf("the second time gives %q, %v", again, err)
	}
	if _, err := replace("a\n"+end, "new\n"); err == nil {
		t.Error("a document without markers is written to")
	}
}
