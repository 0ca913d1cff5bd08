package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// streams are where a command reads and writes.
type streams struct {
	in        io.Reader
	out, errs io.Writer
	// What is true of them.
	inTerminal, outTerminal, errTerminal bool
	colours                              bool
}

func standardStreams() streams {
	is := func(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }
	s := streams{in: os.Stdin, out: os.Stdout, errs: os.Stderr, inTerminal: is(os.Stdin), outTerminal: is(os.Stdout)}
	s.errTerminal = is(os.Stderr) && os.Getenv("TERM") != "dumb" // which can't write a line again, nor colours
	s.colours = s.outTerminal && s.errTerminal && os.Getenv("NO_COLOR") == ""
	return s
}

// Colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
)

func (s *streams) paint(colour, text string) string {
	if !s.colours {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// visible returns text in which nothing can steer the terminal: names of devices
// and values of rows are written by others.
func visible(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) < 0 && utf8.ValidString(text) {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		quoted := strconv.Quote(line)
		lines[i] = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
	}
	return strings.Join(lines, "\n")
}

// printf prints a line for people; with --json it prints nothing.
func (a *app) printf(format string, args ...any) {
	if !a.json {
		fmt.Fprintf(a.out, "%s\n", visible(fmt.Sprintf(format, args...)))
	}
}

// printJSON prints a document.
func (a *app) printJSON(document any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(document)
}

// printTable prints rows under a heading, or the sentence if there are none.
func (a *app) printTable(heading []string, rows [][]string, none string) error {
	if len(rows) == 0 {
		a.printf("%s", none)
		return nil
	}
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\n", strings.Join(heading, "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = strings.ReplaceAll(visible(row[i]), "\n", `\n`)
		}
		fmt.Fprintf(table, "%s\n", strings.Join(row, "\t"))
	}
	return table.Flush()
}

// plainWord matches what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[\pL\pN._/~:@%+=,-]+$`)

// word returns a path as a word of a command line, to be copied into a shell.
func word(path string) string {
	switch {
	case plainWord.MatchString(path):
		return path
	case runtime.GOOS == "windows":
		return `"` + path + `"`
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(path) + `"`
}

// clock returns a time as people read it, and "never" for none.
func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format(time.DateTime)
}

// stamp returns a time as programs read it, and nil for none.
func stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format(time.RFC3339Nano)
	return &text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
