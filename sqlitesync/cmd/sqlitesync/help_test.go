package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

// The five minutes of a newcomer, in the README, are a script that is run.
func TestReadmeIsRun(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join("testdata", "newcomer.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "## Without writing a line of Go")
	section, _, _ = strings.Cut(section, "\n## ")
	commands := regexp.MustCompile(`(?m)^sqlitesync (\S+)([^#\n]*)`).FindAllStringSubmatch(section, -1)
	if !found || len(commands) < 5 {
		t.Fatalf("the README has %d commands for newcomers", len(commands))
	}
	rest := string(script)
	for _, command := range commands {
		verb, arguments := "exec sqlitesync "+command[1], strings.TrimRight(command[2], " ")
		if command[1] == "watch" { // which has a name in the script
			verb = `watch \w+`
		}
		// The script has a folder of its own.
		want := "(?m)^" + verb + regexp.QuoteMeta(strings.ReplaceAll(arguments, "~/Dropbox/notes", "../folder")) + "$"
		at := regexp.MustCompile(want).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("the script has no line %q where the README has %q", want, command[0])
		}
		rest = rest[at[1]:]
	}
}

// Every finding has an advice, and every verb an example and a long text.
func TestEverythingIsExplained(t *testing.T) {
	t.Parallel()
	a := &app{}
	for _, verb := range a.root().Commands() {
		if verb.Runnable() && (verb.Long == "" || verb.Example == "" || verb.GroupID == "") {
			t.Errorf("%s is not explained", verb.Name())
		}
		for _, below := range verb.Commands() {
			if below.Long == "" || below.Example == "" {
				t.Errorf("%s is not explained", below.CommandPath())
			}
		}
	}
	source, err := os.ReadFile(filepath.Join("..", "..", "finding.go"))
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`FindingCode = "([a-z-]+)"`).FindAllSubmatch(source, -1)
	if len(codes) != len(mends) || len(codes) == 0 {
		t.Errorf("%d codes, advice for %d", len(codes), len(mends))
	}
	for code := range mends {
		if !strings.Contains(string(source), `"`+string(code)+`"`) {
			t.Errorf("there is no code %s", code)
		}
	}
}

// The verbs that are refused while something else syncs the database are those
// whose help says so.
func TestVerbsThatNeedTheDatabaseAlone(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile(filepath.Join("testdata", "in_use.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	var compare func(*cobra.Command)
	compare = func(verb *cobra.Command) {
		name := regexp.QuoteMeta(strings.TrimPrefix(verb.CommandPath(), "sqlitesync "))
		refused := regexp.MustCompile(`(?m)^exits 5 ` + name + ` \w+\.db`).Match(script)
		if says := strings.Contains(verb.Long, aloneHelp); says != refused {
			t.Errorf("%s: the script has it refused: %v, its help says so: %v", name, refused, says)
		} else if says {
			said++
		}
		for _, below := range verb.Commands() {
			compare(below)
		}
	}
	compare((&app{}).root())
	if said < 10 {
		t.Errorf("only %d verbs say so", said)
	}
}

// Every finding, verb and exit code stands in a script.
func TestEverythingIsTried(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	var scripts strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(text)
	}
	tried := func(what, pattern string) {
		if !regexp.MustCompile(`(?m)` + pattern).MatchString(scripts.String()) {
			t.Errorf("no script tries %s", what)
		}
	}
	for code := range mends {
		tried(string(code), `(mend|note)  `+string(code)+`:`)
	}
	for code := exitFailed; code <= exitNotAllowed; code++ {
		tried(fmt.Sprint("exit code ", code), fmt.Sprintf(`^exits %d `, code))
	}
	a := &app{}
	for _, verb := range a.root().Commands() {
		if !verb.Runnable() {
			continue
		}
		tried(verb.Name(), `^(exec sqlitesync |exits 0 |watch \w+ |)`+verb.Name()+` `)
		tried(verb.Name()+" where it fails", `^exits \d+ `+verb.Name()+` `)
		tried(verb.Name()+" --json", verb.Name()+` .*--json`)
		for _, below := range verb.Commands() {
			tried(verb.Name()+" "+below.Name(), `\bsqlitesync `+verb.Name()+` `+below.Name()+` `)
			tried(verb.Name()+" "+below.Name()+" where it fails", `^exits \d+ `+verb.Name()+` `+below.Name()+` `)
		}
	}
}

// Help names every member of every document.
func TestJSONIsExplained(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range regexp.MustCompile("`json:\"(\\w+)").FindAllSubmatch(source, -1) {
			found++
			if !regexp.MustCompile(`\b` + string(tag[1]) + `\b`).MatchString(jsonHelp) {
				t.Errorf("%s: help json does not name %q", file, tag[1])
			}
		}
	}
	if found < 50 {
		t.Errorf("found only %d names", found)
	}
}

// Every kind of event is described, and named in help.
func TestEventsAreExplained(t *testing.T) {
	t.Parallel()
	for kind := sqlitesync.EventPublished; !strings.HasPrefix(kind.String(), "EventKind("); kind++ {
		event := sqlitesync.Event{Kind: kind, Err: errors.New("an error"), Count: 1, Rows: 1}
		if describe(event) == event.String() {
			t.Errorf("%s is not described", kind)
		}
		if !strings.Contains(jsonHelp, kind.String()) {
			t.Errorf("help json does not name %s", kind)
		}
	}
}
