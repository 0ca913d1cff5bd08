package sqlitesync

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
)

// FORMAT.md says how a segment and a head are read with the age command. The test
// runs the lines that stand there.
func TestFilesCanBeReadByHand(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the lines are for a Unix shell")
	}
	for _, program := range []string{"sh", "grep", "tail", "zstd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs ", program)
		}
	}
	specification, err := os.ReadFile("FORMAT.md")
	must(t, err)
	lines := regexp.MustCompile("(?s)## 15\\. .*?```sh\n(.*?)```").FindSubmatch(specification)
	if lines == nil {
		t.Fatal("FORMAT.md has no lines to run")
	}
	dir := t.TempDir()
	build := exec.Command("go", "-C", filepath.Join("..", "testdata", "age"), "build", "-o", filepath.Join(dir, "age"), "filippo.io/age/cmd/age")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}

	a, b := newPair(t, itemSchema)
	a.options.DeviceName = "the laptop"
	a.reopen()
	text := strings.Repeat("something dear to read by hand ", 20)
	a.exec("INSERT INTO item VALUES ('x', ?, 1)", text)
	settle(a, b)
	// Whoever was a member can read: here it is b that reads what a wrote.
	script := exec.Command("sh", "-e", "-u", "-c", string(lines[1]))
	script.Dir = dir
	script.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"),
		"KEYS="+filepath.Join(filepath.Dir(b.path), "keys", b.id().String()+".key"),
		"SEGMENT="+a.lastSegment(), "HEAD="+filepath.Join(a.directory(), "head"))
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	var content head
	data, err := os.ReadFile(filepath.Join(dir, "head.json"))
	must(t, err)
	must(t, json.Unmarshal(data, &content))
	if content.Name != "the laptop" || len(content.Segments) != 1 {
		t.Errorf("head %+v", content)
	}
	body, err := os.ReadFile(filepath.Join(dir, "body"))
	must(t, err)
	if !strings.Contains(string(body), text) {
		t.Error("the body does not hold the row's text")
	}
	decoded, err := segment.Decode(body, changelog.DeviceID(a.id()), 1, 1)
	must(t, err)
	if len(decoded.Changes) != 1 || decoded.Changes[0].Shape.Table != "item" {
		t.Errorf("changes %+v", decoded.Changes)
	}
}
