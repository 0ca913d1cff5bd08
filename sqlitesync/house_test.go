package sqlitesync_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The tests in this file hold the rules of the house: who imports whom, where the few dependencies stand, what every package
// must say about itself. Each rule is a function from a description of the tree to a list of violations, so that it can be
// tried on made-up violations too: a rule that cannot fail protects nothing.

const (
	repositoryRoot = ".."
	modulePath     = "github.com/sqlitesync/go"
)

// A goFile is what the rules want to know of one Go file.
type goFile struct {
	name     string   // slash-separated, from the repository's root
	pkg      string   // the name in the package clause
	imports  []string // import paths
	docLines int      // lines of the package comment that are not blank
	lines    int
	hasInit  bool // declares a package-level init function
}

// isTest tells whether the file never reaches a program that imports us. Programs under testdata make the golden files.
func (f goFile) isTest() bool {
	return strings.HasSuffix(f.name, "_test.go") || slices.Contains(strings.Split(f.name, "/"), "testdata")
}

// A room is a directory with all that lies below it, except the rooms inside it.
type room struct {
	dir     string
	level   int      // imports never lead to a higher level, in tests neither
	imports []string // other rooms that files other than tests may import
}

var belowSyncer = []string{"sqlitesync/internal", "changelog/merge", "changelog/segment", "crypto", "changelog"}

var rooms = []room{
	{"examples", 3, []string{"sqlitesync"}},
	{"sqlitesync/cmd", 3, append([]string{"sqlitesync"}, belowSyncer...)},
	{"sqlitesync/synctest", 2, append([]string{"sqlitesync"}, belowSyncer...)},
	{"sqlitesync", 2, belowSyncer},
	{"sqlitesync/internal", 1, []string{"changelog"}},
	{"changelog/merge", 1, []string{"changelog"}},
	{"changelog/segment", 1, []string{"changelog"}},
	{"crypto", 0, nil},
	{"changelog", 0, nil},
}

// roomOf returns the innermost room that contains dir.
func roomOf(dir string) (room, bool) {
	for ; dir != "."; dir = path.Dir(dir) {
		if i := slices.IndexFunc(rooms, func(r room) bool { return r.dir == dir }); i >= 0 {
			return rooms[i], true
		}
	}
	return room{}, false
}

// A dependency stands in few places only.
type dependency struct {
	prefix string   // of import paths; without a dot: the path of a package of the standard library
	places []string // prefixes of file names
}

func (d dependency) names(imported string) bool {
	return imported == d.prefix || strings.Contains(d.prefix, ".") && strings.HasPrefix(imported, d.prefix)
}

// dependencies says where each dependency that has one place only may be imported, tests aside.
var dependencies = []dependency{
	{"github.com/fsnotify/fsnotify", []string{"sqlitesync/internal/watch/"}},
	{"filippo.io/", []string{"crypto/", "examples/"}},
	{"github.com/zalando/go-keyring", []string{"examples/keychain/"}},
	{"github.com/pressly/goose", []string{"examples/notes/"}},
	{"modernc.org/", []string{"sqlitesync/handle.go", "sqlitesync/policy.go", "sqlitesync/pool.go", "sqlitesync/scratch.go", "examples/"}},
	{"github.com/klauspost/compress", []string{"changelog/segment/"}},
	{"github.com/spf13/", []string{"sqlitesync/cmd/"}},
	// Who opens a file of the database beside SQLite drops its locks, and who writes in the folder can harm what is others'.
	{"os", []string{
		"sqlitesync/internal/folder/", "sqlitesync/internal/watch/", "sqlitesync/handle.go", "sqlitesync/existing.go", "sqlitesync/view.go",
		"sqlitesync/keystore.go", "sqlitesync/machine_linux.go", "sqlitesync/options.go", "sqlitesync/cmd/", "sqlitesync/synctest/", "examples/",
	}},
	{"golang.org/x/term", []string{"sqlitesync/cmd/"}},
	{"github.com/boombuler/barcode", []string{"sqlitesync/cmd/"}},
}

// directionViolations reports imports between our own packages that DESIGN.md's section 3 does not allow. Tests may also import
// rooms below and beside their own, since they compare one room with another; package sqlitesync_test may import all.
func directionViolations(files []goFile) (violations []string) {
	for _, file := range files {
		if file.isTest() && (file.pkg == "sqlitesync_test" || strings.HasPrefix(file.name, "testdata/")) {
			continue
		}
		from, ok := roomOf(path.Dir(file.name))
		if !ok {
			violations = append(violations, file.name+" stands in no room of the house")
			continue
		}
		for _, imported := range file.imports {
			dir, ours := strings.CutPrefix(imported, modulePath+"/")
			if !ours {
				continue
			}
			to, ok := roomOf(dir)
			allowed := ok && (to.dir == from.dir || slices.Contains(from.imports, to.dir))
			if ok && file.isTest() {
				// Nothing is below level 0, and its two rooms stay apart even in tests.
				allowed = allowed || to.level < from.level || to.level == from.level && from.level > 0
			}
			if !allowed {
				violations = append(violations, fmt.Sprintf("%s imports %s: %s must not depend on it", file.name, imported, from.dir))
			}
		}
	}
	return violations
}

// dependencyViolations reports imports of a dependency outside its place.
func dependencyViolations(files []goFile) (violations []string) {
	for _, file := range files {
		if file.isTest() {
			continue
		}
		for _, imported := range file.imports {
			for _, dependency := range dependencies {
				inPlace := func(place string) bool { return strings.HasPrefix(file.name, place) }
				if dependency.names(imported) && !slices.ContainsFunc(dependency.places, inPlace) {
					violations = append(violations, fmt.Sprintf("%s imports %s, which stands only in %s",
						file.name, imported, strings.Join(dependency.places, " and ")))
				}
			}
		}
	}
	return violations
}

// docViolations reports packages without a package comment of at least three lines: in doc.go, or anywhere in a command.
func docViolations(files []goFile) (violations []string) {
	const minimum = 3
	longest := make(map[string]int) // directory to lines
	for _, file := range files {
		if file.isTest() {
			continue
		}
		dir := path.Dir(file.name)
		longest[dir] = max(longest[dir], 0)
		if path.Base(file.name) == "doc.go" || file.pkg == "main" {
			longest[dir] = max(longest[dir], file.docLines)
		}
	}
	for dir, lines := range longest {
		if lines < minimum {
			violations = append(violations, fmt.Sprintf("%s: doc.go needs a package comment of at least %d lines, has %d", dir, minimum, lines))
		}
	}
	slices.Sort(violations)
	return violations
}

// shapeViolations reports cgo, init functions and files that are too long to be read in one sitting.
func shapeViolations(files []goFile) (violations []string) {
	const maximum = 700
	for _, file := range files {
		if slices.Contains(file.imports, "C") {
			violations = append(violations, file.name+" uses cgo")
		}
		if file.hasInit {
			violations = append(violations, file.name+" declares an init function")
		}
		if !file.isTest() && file.lines > maximum {
			violations = append(violations, fmt.Sprintf("%s has %d lines, more than %d", file.name, file.lines, maximum))
		}
	}
	return violations
}

// entryViolations reports tracked files outside the fixed top-level entries.
func entryViolations(tracked []string) (violations []string) {
	fixed := []string{
		"sqlitesync", "changelog", "crypto", "examples", "testdata", "go.mod", "go.sum", "README.md", "LICENSE",
		".ci", ".github", ".gitignore", ".gitattributes", ".golangci.yml",
	}
	for _, name := range tracked {
		if top, _, _ := strings.Cut(name, "/"); !slices.Contains(fixed, top) {
			violations = append(violations, name+" is not below one of the fixed top-level entries")
		}
	}
	return violations
}

// A goMod is the part of `go mod edit -json` that the rules look at.
type goMod struct {
	Require []struct{ Path, Version string }
	Replace []struct{ Old struct{ Path string } }
}

func (m goMod) version(module string) string {
	for _, required := range m.Require {
		if required.Path == module {
			return required.Version
		}
	}
	return ""
}

// libcViolations reports a modernc.org/libc that is not the one that modernc.org/sqlite was generated for. The two are one
// program in two modules: another version compiles, and may corrupt memory when it runs.
func libcViolations(ours, driver goMod) (violations []string) {
	const libc = "modernc.org/libc"
	have, want := ours.version(libc), driver.version(libc)
	if want == "" {
		violations = append(violations, "modernc.org/sqlite requires no "+libc+": look whether this rule still has a meaning")
	}
	if have != want {
		violations = append(violations, fmt.Sprintf("go.mod requires %s %q, modernc.org/sqlite requires %q", libc, have, want))
	}
	for _, replaced := range ours.Replace {
		violations = append(violations, "go.mod replaces "+replaced.Old.Path+", which programs that import us would not do")
	}
	return violations
}

func TestHouse(t *testing.T) {
	files := readTree(t)
	for _, rule := range []struct {
		name  string
		check func([]goFile) []string
	}{
		{"direction of imports", directionViolations},
		{"places of dependencies", dependencyViolations},
		{"package comments", docViolations},
		{"cgo, init and length", shapeViolations},
	} {
		t.Run(rule.name, func(t *testing.T) { report(t, rule.check(files)) })
	}
}

func TestHouseEntries(t *testing.T) {
	if _, err := os.Stat(filepath.Join(repositoryRoot, ".git")); err != nil {
		t.Skip("not a git work tree: ", err)
	}
	names := strings.TrimSuffix(string(output(t, "git", "-C", repositoryRoot, "ls-files", "-z")), "\x00")
	if names == "" {
		t.Skip("git tracks no file yet")
	}
	report(t, entryViolations(strings.Split(names, "\x00")))
}

func TestHouseLibc(t *testing.T) {
	var driver struct{ GoMod string }
	decode(t, output(t, "go", "list", "-m", "-json", "modernc.org/sqlite"), &driver)
	if driver.GoMod == "" {
		t.Fatal("the go command does not know the go.mod file of modernc.org/sqlite")
	}
	var ours, theirs goMod
	decode(t, output(t, "go", "mod", "edit", "-json", filepath.Join(repositoryRoot, "go.mod")), &ours)
	decode(t, output(t, "go", "mod", "edit", "-json", driver.GoMod), &theirs)
	report(t, libcViolations(ours, theirs))
}

// TestHouseRules shows that each rule finds what it is for, and only that.
func TestHouseRules(t *testing.T) {
	file := func(name, pkg string, imports ...string) goFile {
		return goFile{name: name, pkg: pkg, imports: imports}
	}
	own := func(dir string) string { return modulePath + "/" + dir }
	fileRules := []struct {
		name  string
		check func([]goFile) []string
		file  goFile
		want  string // part of the one violation; "" for none
	}{
		{"down", directionViolations, file("sqlitesync/pull.go", "sqlitesync", own("changelog/merge"), own("crypto")), ""},
		{"down by two", directionViolations, file("sqlitesync/export.go", "sqlitesync", own("changelog"), "fmt"), ""},
		{"inside a room", directionViolations, file("sqlitesync/internal/watch/watch.go", "watch", own("sqlitesync/internal/folder")), ""},
		{"up to the engine", directionViolations, file("changelog/merge/merge.go", "merge", own("sqlitesync")), "changelog/merge must not"},
		{"up from an internal package", directionViolations, file("sqlitesync/internal/folder/folder.go", "folder", own("sqlitesync")), "must not"},
		{"up to merge", directionViolations, file("changelog/batch.go", "changelog", own("changelog/merge")), "must not"},
		{"sideways", directionViolations, file("changelog/merge/merge.go", "merge", own("changelog/segment")), "must not"},
		{"sideways to crypto", directionViolations, file("changelog/segment/encode.go", "segment", own("crypto")), "must not"},
		{"crypto to changelog", directionViolations, file("crypto/seal.go", "crypto", own("changelog")), "crypto must not"},
		{"changelog to crypto", directionViolations, file("changelog/stamp.go", "changelog", own("crypto")), "changelog must not"},
		{"engine to its test kit", directionViolations, file("sqlitesync/loop.go", "sqlitesync", own("sqlitesync/synctest")), "must not"},
		{"engine to the command", directionViolations, file("sqlitesync/loop.go", "sqlitesync", own("sqlitesync/cmd/sqlitesync")), "must not"},
		{"example to a lower room", directionViolations, file("examples/notes/main.go", "main", own("crypto")), "examples must not"},
		{"example to an internal package", directionViolations, file("examples/notes/main.go", "main", own("sqlitesync/internal/folder")), "must not"},
		{"unknown room", directionViolations, file("util/util.go", "util"), "no room"},
		{"import of an unknown room", directionViolations, file("sqlitesync/loop.go", "sqlitesync", own("util")), "must not"},
		{"file in the root", directionViolations, file("tools.go", "tools"), "no room"},
		{"test sideways", directionViolations, file("changelog/merge/bench_test.go", "merge", own("changelog/segment")), ""},
		{"test up", directionViolations, file("changelog/merge/merge_test.go", "merge_test", own("sqlitesync")), "must not"},
		{"test of crypto", directionViolations, file("crypto/seal_test.go", "crypto_test", own("changelog")), "must not"},
		{"test of changelog", directionViolations, file("changelog/stamp_test.go", "changelog", own("crypto")), "must not"},
		{"engine's external test", directionViolations, file("sqlitesync/sync_test.go", "sqlitesync_test", own("sqlitesync/synctest"), own("examples/notes")), ""},
		{"engine's internal test", directionViolations, file("sqlitesync/sync_test.go", "sqlitesync", own("sqlitesync/cmd/sqlitesync")), "must not"},
		{"maker of golden files", directionViolations, file("testdata/vectors/make.go", "main", own("changelog/segment"), own("crypto")), ""},

		{"fsnotify in place", dependencyViolations, file("sqlitesync/internal/watch/watch.go", "watch", "github.com/fsnotify/fsnotify"), ""},
		{"fsnotify elsewhere", dependencyViolations, file("sqlitesync/internal/folder/scan.go", "folder", "github.com/fsnotify/fsnotify"), "only in"},
		{"age in place", dependencyViolations, file("crypto/seal.go", "crypto", "filippo.io/age"), ""},
		{"age elsewhere", dependencyViolations, file("sqlitesync/devices.go", "sqlitesync", "filippo.io/age/armor"), "only in"},
		{"age in an example", dependencyViolations, file("examples/passphrase/store.go", "main", "filippo.io/age"), ""},
		{"keychain in place", dependencyViolations, file("examples/keychain/store.go", "main", "github.com/zalando/go-keyring"), ""},
		{"keychain elsewhere", dependencyViolations, file("sqlitesync/keystore.go", "sqlitesync", "github.com/zalando/go-keyring"), "only in"},
		{"migration tool in place", dependencyViolations, file("examples/notes/migrate.go", "main", "github.com/pressly/goose/v3"), ""},
		{"migration tool elsewhere", dependencyViolations, file("changelog/database.go", "changelog", "github.com/pressly/goose/v3"), "only in"},
		{"modernc in place", dependencyViolations, file("sqlitesync/handle.go", "sqlitesync", "modernc.org/sqlite"), ""},
		{"modernc in an example", dependencyViolations, file("examples/notes/main.go", "main", "modernc.org/sqlite"), ""},
		{"modernc in another file", dependencyViolations, file("sqlitesync/pull.go", "sqlitesync", "modernc.org/sqlite/lib"), "only in"},
		{"modernc in another room", dependencyViolations, file("changelog/handle.go", "changelog", "modernc.org/sqlite"), "only in"},
		{"modernc in a test", dependencyViolations, file("changelog/capture_test.go", "changelog", "modernc.org/sqlite"), ""},
		{"compress in place", dependencyViolations, file("changelog/segment/encode.go", "segment", "github.com/klauspost/compress/zstd"), ""},
		{"compress elsewhere", dependencyViolations, file("sqlitesync/export.go", "sqlitesync", "github.com/klauspost/compress/zstd"), "only in"},
		{"files in place", dependencyViolations, file("sqlitesync/internal/folder/publish.go", "folder", "os"), ""},
		{"files elsewhere", dependencyViolations, file("sqlitesync/pull.go", "sqlitesync", "os"), "only in"},
		{"no files", dependencyViolations, file("sqlitesync/pull.go", "sqlitesync", "os/user"), ""},
		{"command line in place", dependencyViolations, file("sqlitesync/cmd/sqlitesync/root.go", "main", "github.com/spf13/cobra", "golang.org/x/term", "github.com/boombuler/barcode/qr"), ""},
		{"command line elsewhere", dependencyViolations, file("sqlitesync/status.go", "sqlitesync", "github.com/spf13/cobra"), "only in"},
		{"terminal elsewhere", dependencyViolations, file("sqlitesync/status.go", "sqlitesync", "golang.org/x/term"), "only in"},
		{"QR codes elsewhere", dependencyViolations, file("examples/notes/main.go", "main", "github.com/boombuler/barcode/qr"), "only in"},
		{"modernc in the command", dependencyViolations, file("sqlitesync/cmd/sqlitesync/database.go", "main", "modernc.org/sqlite"), "only in"},

		{"full doc", docViolations, goFile{name: "crypto/doc.go", pkg: "crypto", docLines: 3}, ""},
		{"short doc", docViolations, goFile{name: "crypto/doc.go", pkg: "crypto", docLines: 2}, "crypto: doc.go needs"},
		{"doc in another file", docViolations, goFile{name: "crypto/seal.go", pkg: "crypto", docLines: 9}, "crypto: doc.go needs"},
		{"doc of a command", docViolations, goFile{name: "examples/notes/main.go", pkg: "main", docLines: 3}, ""},
		{"short doc of a command", docViolations, goFile{name: "examples/notes/main.go", pkg: "main", docLines: 1}, "needs"},
		{"tests need no doc", docViolations, goFile{name: "crypto/seal_test.go", pkg: "crypto_test"}, ""},

		{"cgo", shapeViolations, file("changelog/fast.go", "changelog", "C"), "cgo"},
		{"init", shapeViolations, goFile{name: "crypto/seal.go", hasInit: true}, "init"},
		{"init in a test", shapeViolations, goFile{name: "crypto/seal_test.go", hasInit: true}, "init"},
		{"longest file", shapeViolations, goFile{name: "crypto/seal.go", lines: 700}, ""},
		{"too long a file", shapeViolations, goFile{name: "crypto/seal.go", lines: 701}, "701 lines"},
		{"long test", shapeViolations, goFile{name: "crypto/seal_test.go", lines: 701}, ""},
	}
	for _, test := range fileRules {
		t.Run(test.name, func(t *testing.T) { expect(t, test.check([]goFile{test.file}), test.want) })
	}

	t.Run("entry in place", func(t *testing.T) { expect(t, entryViolations([]string{"go.mod", ".ci/run"}), "") })
	t.Run("new entry", func(t *testing.T) { expect(t, entryViolations([]string{"go.mod", "scripts/run"}), "scripts/run") })
	t.Run("new file in the root", func(t *testing.T) { expect(t, entryViolations([]string{"Makefile"}), "Makefile") })

	parse := func(text string) (m goMod) { decode(t, []byte(text), &m); return m }
	first := parse(`{"Require": [{"Path": "modernc.org/libc", "Version": "v1.0.0"}]}`)
	second := parse(`{"Require": [{"Path": "modernc.org/libc", "Version": "v1.0.1"}]}`)
	replaced := parse(`{"Require": [{"Path": "modernc.org/libc", "Version": "v1.0.0"}], "Replace": [{"Old": {"Path": "modernc.org/libc"}}]}`)
	t.Run("same libc", func(t *testing.T) { expect(t, libcViolations(first, first), "") })
	t.Run("newer libc", func(t *testing.T) { expect(t, libcViolations(second, first), `"v1.0.1"`) })
	t.Run("no libc", func(t *testing.T) { expect(t, libcViolations(goMod{}, first), `libc ""`) })
	t.Run("driver without libc", func(t *testing.T) { expect(t, libcViolations(goMod{}, goMod{}), "still has a meaning") })
	t.Run("replaced libc", func(t *testing.T) { expect(t, libcViolations(replaced, first), "replaces modernc.org/libc") })
}

// TestHouseReader shows that the tree's reader sees what the rules look at.
func TestHouseReader(t *testing.T) {
	source := "// Package p\n//\n// has\n// a doc.\npackage p\n\nimport (\n\t\"fmt\"\n\tm \"modernc.org/sqlite\"\n)\n\nfunc init() {}\n"
	got, err := parseFile("changelog/doc.go", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	want := goFile{"changelog/doc.go", "p", []string{"fmt", "modernc.org/sqlite"}, 3, 12, true}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v, want %v", got, want)
	}
	got, err = parseFile("p.go", []byte("package p\n\ntype t struct{}\n\nfunc (t) init() {}\n"))
	if err != nil || got.hasInit || got.docLines != 0 {
		t.Errorf("a method named init was read as %v, error %v", got, err)
	}
	const here = "sqlitesync/house_test.go"
	if !slices.ContainsFunc(readTree(t), func(file goFile) bool { return file.name == here }) {
		t.Errorf("%s is missing in what was read of the tree", here)
	}
}

// readTree parses every Go file of the repository.
func readTree(t *testing.T) (files []goFile) {
	t.Helper()
	err := filepath.WalkDir(repositoryRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != repositoryRoot && strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(repositoryRoot, name)
		if err != nil {
			return err
		}
		file, err := parseFile(filepath.ToSlash(relative), source)
		files = append(files, file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func parseFile(name string, source []byte) (goFile, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return goFile{}, err
	}
	file := goFile{name: name, pkg: parsed.Name.Name, lines: bytes.Count(source, []byte("\n"))}
	for line := range strings.Lines(parsed.Doc.Text()) {
		if strings.TrimSpace(line) != "" {
			file.docLines++
		}
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return goFile{}, fmt.Errorf("unquote an import of %s: %w", name, err)
		}
		file.imports = append(file.imports, imported)
	}
	for _, declaration := range parsed.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		file.hasInit = file.hasInit || ok && function.Recv == nil && function.Name.Name == "init"
	}
	return file, nil
}

func report(t *testing.T, violations []string) {
	t.Helper()
	for _, violation := range violations {
		t.Error(violation)
	}
}

// expect wants exactly one violation that contains want, or none if want is empty.
func expect(t *testing.T, violations []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(violations) > 0:
		t.Errorf("found %q, want nothing", violations)
	case want != "" && (len(violations) != 1 || !strings.Contains(violations[0], want)):
		t.Errorf("found %q, want one violation with %q", violations, want)
	}
}

func output(t *testing.T, name string, arguments ...string) []byte {
	t.Helper()
	command := exec.Command(name, arguments...)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, stderr.String())
	}
	return out
}

func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}
