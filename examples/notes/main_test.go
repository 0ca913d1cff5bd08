package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What play shows is what it is for: the id of a note stands where # is.
func TestPlay(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	must(t, play(t.Context(), &out))
	want := `Version 1 of the app, on a laptop and on a phone. Both show:
  #   Buy bread
  #   !Call home
  #   A film for Friday

The laptop gets version 2: goose adds a column for pins, fills it, and makes a table of tags.
Meanwhile somebody renames a note on the phone, and tags another on the laptop, which now shows:
  # * Call home on Sunday
  #   Buy bread #shop
  #   A film for Friday

The phone still has version 1. It keeps what it can't show (1 row held), and goes on:
  #   Buy bread
  #   Call home at six
  #   A film for Friday
On the laptop the note that was renamed is still pinned:
  # * Call home at six
  #   Buy bread #shop
  #   A film for Friday

The phone gets version 2, too (0 rows held), and shows:
  # * Call home at six
  #   Buy bread #shop
  #   A film for Friday
Conflicts on both: 0.
`
	if got := regexp.MustCompile(`(?m)^  [0-9a-f]{6}`).ReplaceAllString(out.String(), "  #"); got != want {
		t.Errorf("it shows\n%s\nwant\n%s", got, want)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v behind (%v)", left, err)
	}
}

// A machine runs the app on one device, a call at a time.
type machine struct {
	t    *testing.T
	args []string
}

func newMachine(t *testing.T, folder, name string) machine {
	dir := t.TempDir()
	return machine{t, []string{"-folder", folder, "-name", name, "-db", filepath.Join(dir, "new", "notes.db"), "-keys", filepath.Join(dir, "keys")}}
}

func (m machine) notes(words ...string) string {
	m.t.Helper()
	var out bytes.Buffer
	if err := run(m.t.Context(), &out, append(m.args[:len(m.args):len(m.args)], words...)); err != nil {
		m.t.Fatalf("notes %s: %v", strings.Join(words, " "), err)
	}
	return out.String()
}

// refuses runs a command that must fail and say so.
func (m machine) refuses(says string, words ...string) {
	m.t.Helper()
	err := run(m.t.Context(), new(bytes.Buffer), append(m.args[:len(m.args):len(m.args)], words...))
	if err == nil || !strings.Contains(err.Error(), says) {
		m.t.Errorf("notes %s: error %v, want one that says %q", strings.Join(words, " "), err, says)
	}
}

// noteID returns the end of the id of the note whose line contains text.
func (m machine) noteID(text string) string {
	m.t.Helper()
	for line := range strings.Lines(m.notes("list")) {
		if strings.Contains(line, text) {
			return strings.Fields(line)[0]
		}
	}
	m.t.Fatalf("no note contains %q", text)
	return ""
}

// Every command, on two machines that share a folder.
func TestCommands(t *testing.T) {
	folder := t.TempDir()
	laptop, phone := newMachine(t, folder, "laptop"), newMachine(t, folder, "phone")
	laptop.notes("add", "Buy", "bread")
	laptop.notes("add", "Call home")
	phone.refuses("join here", "list")
	code := strings.TrimSpace(laptop.notes("invite"))
	if list := phone.notes("join", code); !strings.Contains(list, "Buy bread\n") {
		t.Errorf("the phone joins with %q", list)
	}

	bread, call := phone.noteID("bread"), phone.noteID("Call")
	phone.notes("rename", bread, "Buy", "rye bread")
	phone.notes("tag", bread, "shop")
	phone.notes("pin", call)
	want := "  " + call + " * Call home\n  " + bread + "   Buy rye bread #shop\n"
	for _, m := range []machine{laptop, phone} {
		if list := m.notes("list"); list != want {
			t.Errorf("list shows\n%s\nwant\n%s", list, want)
		}
	}
	laptop.notes("unpin", call)
	laptop.notes("delete", bread)
	want = "  " + call + "   Call home\n"
	for _, m := range []machine{phone, laptop} {
		if list := m.notes("list"); list != want {
			t.Errorf("after the deletion list shows\n%s\nwant\n%s", list, want)
		}
	}

	laptop.refuses("0 notes", "delete", bread)
	laptop.refuses("usage", "tag", call)
	laptop.refuses("usage", "burn", call)
	if err := run(t.Context(), new(bytes.Buffer), []string{"list"}); err == nil {
		t.Error("it works without a folder")
	}
}

// What loses without having been seen is shown.
func TestConflicts(t *testing.T) {
	folder := t.TempDir()
	laptop, phone := newMachine(t, folder, "laptop"), newMachine(t, folder, "phone")
	laptop.notes("add", "Milk")
	phone.notes("join", strings.TrimSpace(laptop.notes("invite")))
	milk := laptop.noteID("Milk")

	// Both rename the note while the folder is missing.
	away := filepath.Join(t.TempDir(), "folder")
	must(t, os.Rename(folder, away))
	for _, m := range []machine{laptop, phone} {
		if said := m.notes("rename", milk, m.args[3], "milk"); !strings.HasPrefix(said, "Not in sync just now: ") {
			t.Errorf("without its folder it says %q", said)
		}
	}
	must(t, os.Rename(away, folder))
	laptop.notes("list")
	phone.notes("list")
	if list := laptop.notes("list"); !strings.Contains(list, "phone milk") {
		t.Errorf("the later edit does not show: %s", list)
	}
	if said := laptop.notes("conflicts"); !strings.Contains(said, `"phone milk" won over "laptop milk"`) {
		t.Errorf("conflicts says %q", said)
	}
}
