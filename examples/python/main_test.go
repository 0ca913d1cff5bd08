package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("needs python3: ", err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out strings.Builder
	if err := play(ctx, &out); err != nil {
		t.Fatal(err)
	}
	want := `A laptop and a phone keep notes with notes.py, and share a folder.
On the laptop: python3 notes.py notes.db add Buy bread
On the phone:  python3 notes.py notes.db list
Buy bread
`
	if out.String() != want {
		t.Errorf("it printed\n%s\nwant\n%s", out.String(), want)
	}
}

func TestPythonIsStopped(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := play(ctx, &strings.Builder{}); err == nil {
		t.Error("it played on")
	}
}
