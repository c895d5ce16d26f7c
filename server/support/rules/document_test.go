package rules_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// document maps the design to these tests.
const document = "../../../docs/rules.md"

// TestDocument holds docs/rules.md to the tests: what it names exists, and it names every story, and every test beside them.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	tests := append(stories(), functions(t)...)
	if twice := duplicates(tests); len(twice) > 0 {
		t.Errorf("names that two tests have: got %v, want none", twice)
	}
	named := map[string]bool{}
	for _, match := range regexp.MustCompile("`(Test[^`]*)`").FindAllStringSubmatch(string(text), -1) {
		found := false
		for _, name := range tests {
			if ok, err := path.Match(match[1], name); err != nil {
				t.Fatalf("name in %s: got %q, want a pattern: %v", document, match[1], err)
			} else if ok {
				found, named[name] = true, true
			}
		}
		if !found {
			t.Errorf("%s names %s: got no such test", document, match[1])
		}
	}
	for _, name := range tests {
		if !named[name] && !hasStories(name) {
			t.Errorf("%s: got no mention of %s, want one", document, name)
		}
	}
}

// tables are the tests that play stories.
var tables = map[string][]row{
	"TestStates": stateRows, "TestEdits": editRows, "TestAnswers": answerRows, "TestTime": timeRows, "TestOwnership": ownershipRows,
	"TestReaching": reachingRows, "TestApology": apologyRows, "TestPersonas": personaRows, "TestLimits": limitRows, "TestCredits": creditRows, "TestHoursPromise": hourPromiseRows,
}

func hasStories(table string) bool { return tables[table] != nil || table == "TestHours" }

// stories returns the names of all stories.
func stories() []string {
	var names []string
	for table, rows := range tables {
		for _, r := range rows {
			names = append(names, table+"/"+r.id)
		}
	}
	for _, r := range hourRows {
		names = append(names, "TestHours/"+r.id)
	}
	return names
}

// functions returns the names of all test functions of the package.
func functions(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}

func duplicates(names []string) []string {
	names = slices.Sorted(slices.Values(names))
	var twice []string
	for i, name := range names {
		if i > 0 && names[i-1] == name {
			twice = append(twice, name)
		}
	}
	return twice
}
