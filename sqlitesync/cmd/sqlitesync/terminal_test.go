package main

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestVisible(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain ü 🙂":       "plain ü 🙂",
		"two\nlines":      "two\nlines",
		"\x1b[2Jgone":     `\x1b[2Jgone`,
		"bell\a \"q\" \\": `bell\a "q" \`,
		"right\u202eleft": `right\u202eleft`,
		"not \xff UTF-8":  `not \xff UTF-8`,
		"tab\tstop":       `tab\tstop`,
		"carriage\rback":  `carriage\rback`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q shows as %q, want %q", text, got, want)
		}
	}
}

func TestWord(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the words are those of a POSIX shell")
	}
	for _, path := range []string{"notes.db", "~/ü/notes-1.db", "my notes.db", `a"b\c$d` + "`e'f;g&h", "-", "two\nlines"} {
		got := word(path)
		if plain := plainWord.MatchString(path); plain != (got == path) {
			t.Errorf("%q became %s", path, got)
		}
		if strings.HasPrefix(path, "~") {
			continue // which the shell shall expand
		}
		out, err := exec.Command("sh", "-c", "printf %s "+got).Output()
		if err != nil || string(out) != path {
			t.Errorf("%s is %q in a shell: %v", got, out, err)
		}
	}
}

func TestColoursOnlyWhereTheyAreWanted(t *testing.T) {
	t.Parallel()
	plain, coloured := &streams{}, &streams{colours: true}
	if got := plain.paint(red, "x"); got != "x" {
		t.Errorf("%q", got)
	}
	if got := coloured.paint(red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("%q", got)
	}
}

func TestQRCode(t *testing.T) {
	t.Parallel()
	const code = "ABCDE-FGHJK-LMNPQ-RSTUV-WXYZ2-34567-ABCDE"
	for _, colours := range []bool{false, true} {
		a := &app{streams: streams{colours: colours}}
		picture, err := a.drawQR(code)
		if err != nil {
			t.Fatal(err)
		}
		// 41 alphanumeric characters at level M are version 3, 29 modules, with the quiet zone 37.
		lines := strings.Split(strings.TrimSuffix(picture, "\n"), "\n")
		if len(lines) != 19 || strings.Contains(picture, "\x1b") != colours {
			t.Errorf("%d lines:\n%s", len(lines), picture)
		}
		if !colours && lines[0] != strings.Repeat("█", 37) {
			t.Errorf("no quiet zone: %q", lines[0])
		}
	}
	if _, err := (&app{}).drawQR("lower case"); err == nil {
		t.Error("text that is not alphanumeric was drawn")
	}
}
