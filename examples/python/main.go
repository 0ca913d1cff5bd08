// Command python shows a program in another language being synced: notes.py
// writes with Python's own sqlite3 module, and the command sqlitesync carries it
// from one device to another.
//
//	go run ./examples/python
//
// It plays both devices in a temporary directory, and needs python3.
package main

import (
	"context"
	_ "embed" // notes.py
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

//go:embed notes.py
var notes []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if _, err := exec.LookPath("python3"); err != nil {
		fmt.Fprintln(os.Stderr, "this example needs python3:", err)
		return
	}
	if err := play(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// stage is a temporary directory with the script, the command and two devices.
type stage struct {
	ctx context.Context
	dir string
}

func play(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "sqlitesync-python-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &stage{ctx, dir}
	if err := s.prepare(); err != nil {
		return err
	}
	if err := s.pair(); err != nil {
		return err
	}
	fmt.Fprintln(out, "A laptop and a phone keep notes with notes.py, and share a folder.")

	_, stopLaptop, err := s.watch("laptop")
	if err != nil {
		return err
	}
	defer stopLaptop()
	phone, stopPhone, err := s.watch("phone")
	if err != nil {
		return err
	}
	defer stopPhone()
	fmt.Fprintln(out, "On the laptop: python3 notes.py notes.db add Buy bread")
	if _, err := s.run("python3", "notes.py", "laptop.db", "add", "Buy", "bread"); err != nil {
		return err
	}
	if err := phone.until(`"event":"applied"`); err != nil {
		return err
	}
	list, err := s.run("python3", "notes.py", "phone.db", "list")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "On the phone:  python3 notes.py notes.db list\n%s", list)
	return nil
}

// prepare writes the script, builds the command, and lets the script make the
// tables on both devices.
func (s *stage) prepare() error {
	if err := os.WriteFile(filepath.Join(s.dir, "notes.py"), notes, 0o600); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "folder"), 0o700); err != nil {
		return err
	}
	build := exec.CommandContext(s.ctx, "go", "build", "-o", filepath.Join(s.dir, s.command()), "github.com/sqlitesync/go/sqlitesync/cmd/sqlitesync")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the command: %w: %s", err, out)
	}
	for _, database := range []string{"laptop.db", "phone.db"} {
		if _, err := s.run("python3", "notes.py", database, "list"); err != nil {
			return err
		}
	}
	return nil
}

// pair makes the laptop's space and lets the phone join it.
func (s *stage) pair() error {
	if _, err := s.sync("create", "laptop.db", "folder", "--name", "laptop"); err != nil {
		return err
	}
	invite, err := s.sync("invite", "laptop.db")
	if err != nil {
		return err
	}
	code, _, _ := strings.Cut(invite, "\n")
	_, err = s.sync("join", "phone.db", "folder", code, "--name", "phone")
	return err
}
