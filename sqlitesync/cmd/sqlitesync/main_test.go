package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sqlitesync/go/crypto"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sqlitesync": main})
}

// TestScripts runs the scripts in testdata. Beside the commands of testscript
// they have
//
//	sql DB STATEMENT…         what another program does to a database; rows go to stdout
//	exits CODE ARGUMENT…      sqlitesync, which must end with this code
//	watch NAME ARGUMENT…      sqlitesync watch in the background
//	line NAME REGEXP          reads its lines up to one that matches
//	end NAME                  stops it with SIGINT, and wants exit code 0 (testscript has a stop of its own, which ends a script as passed)
//	flip FILE                 changes the last byte of a file, or of all that match
//	remove FILE               removes all files that match
//	future FILE               lets a head, of any device whose keys are here, be 100 hours ahead
//	move FROM TO              renames a file or directory
//
// $KEYS is where the keys are.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// Where keys are kept, on each system.
			for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData"} {
				env.Setenv(name, filepath.Join(env.WorkDir, "config"))
			}
			keys := "config/sqlitesync"
			if runtime.GOOS == "darwin" {
				keys = "config/Library/Application Support/sqlitesync"
			}
			env.Setenv("KEYS", keys)
			env.Setenv("TZ", "UTC")
			env.Values[watchers{}] = make(map[string]*watcher)
			return os.Mkdir(filepath.Join(env.WorkDir, "folder"), 0o700)
		},
		Condition: func(name string) (bool, error) {
			if name != "namespaces" { // in which the system's limits, and what is mounted, are the script's own
				return false, fmt.Errorf("unknown condition")
			}
			return exec.Command("unshare", "-rm", "sh", "-c", "echo 0 > /proc/sys/user/max_inotify_instances").Run() == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sql": runSQL, "exits": exits, "watch": watch, "line": line, "end": end, "flip": flip, "remove": remove, "future": future,
			"move": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(os.Rename(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
			},
		},
	})
}

func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0])+"?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)")
	ts.Check(err)
	defer db.Close()
	for _, statement := range args[1:] {
		err := query(db, ts.Stdout(), statement)
		if neg && err != nil {
			return
		}
		ts.Check(err)
	}
	if neg {
		ts.Fatalf("no statement failed")
	}
}

func query(db *sql.DB, out io.Writer, statement string) error {
	rows, err := db.Query(statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.NullString, len(columns))
	pointers := make([]any, len(columns))
	for i := range values {
		pointers[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(pointers...); err != nil {
			return err
		}
		texts := make([]string, len(values))
		for i, value := range values {
			texts[i] = value.String
		}
		fmt.Fprintln(out, strings.Join(texts, "|"))
	}
	return rows.Err()
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("sqlitesync", args[1:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

type watchers struct{}

// A watcher is a sqlitesync watch that runs.
type watcher struct {
	command *exec.Cmd
	lines   chan string // closed when its output ends
}

// patience is how long a line may be awaited before the test fails: longer than
// the poll that is the net under all that is missed.
const patience = 90 * time.Second

func watch(ts *testscript.TestScript, _ bool, args []string) {
	// The test binary is the command, under its name in PATH.
	path := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		for _, name := range []string{"sqlitesync", "sqlitesync.exe"} {
			if _, err := os.Stat(filepath.Join(dir, name)); path == "" && err == nil {
				path = filepath.Join(dir, name)
			}
		}
	}
	command := exec.Command(path, append([]string{"watch"}, args[1:]...)...)
	command.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData", "PATH", "TZ", "SYSTEMROOT", "GOCOVERDIR"} {
		command.Env = append(command.Env, name+"="+ts.Getenv(name))
	}
	command.Stderr = ts.Stderr()
	out, err := command.StdoutPipe()
	ts.Check(err)
	ts.Check(command.Start())
	w := &watcher{command: command, lines: make(chan string, 1000)}
	go func() {
		defer close(w.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			w.lines <- scanner.Text()
		}
	}()
	ts.Defer(func() { _ = command.Process.Kill() }) // unless it was stopped
	ts.Value(watchers{}).(map[string]*watcher)[args[0]] = w
}

func line(ts *testscript.TestScript, _ bool, args []string) {
	w := ts.Value(watchers{}).(map[string]*watcher)[args[0]]
	pattern := regexp.MustCompile(args[1])
	deadline := time.After(patience)
	for {
		select {
		case text, open := <-w.lines:
			if !open {
				ts.Fatalf("%s ended without a line that matches %s", args[0], pattern)
			}
			ts.Logf("%s: %s", args[0], text)
			if pattern.MatchString(text) {
				return
			}
		case <-deadline:
			ts.Fatalf("no line of %s matches %s", args[0], pattern)
		}
	}
}

func end(ts *testscript.TestScript, _ bool, args []string) {
	w := ts.Value(watchers{}).(map[string]*watcher)[args[0]]
	ts.Check(w.command.Process.Signal(os.Interrupt))
	for text := range w.lines {
		ts.Logf("%s: %s", args[0], text)
	}
	ts.Check(w.command.Wait())
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, name := range names {
		data, err := os.ReadFile(name)
		ts.Check(err)
		data[len(data)-1] ^= 1
		ts.Check(os.WriteFile(name, data, 0o600))
	}
}

func remove(ts *testscript.TestScript, _ bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) == 0 {
		ts.Fatalf("there is no %s", args[0])
	}
	for _, name := range names {
		ts.Check(os.Remove(name))
	}
}

// future writes a head anew as its device would if its clock were wrong.
func future(ts *testscript.TestScript, _ bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, name := range names {
		data, err := os.ReadFile(name)
		ts.Check(err)
		file, err := crypto.ParseHead(data)
		ts.Check(err)
		header := file.Header()
		secret, err := os.ReadFile(filepath.Join(ts.MkAbs(ts.Getenv("KEYS")), header.Device.String()+".key"))
		ts.Check(err)
		keys, err := crypto.ParseKeyEntry(secret)
		ts.Check(err)
		public := keys.Device.Public()
		ts.Check(file.Verify(public.SigningKey()))
		epoch := keys.Epochs[len(keys.Epochs)-1]
		plain, err := file.Open(epoch, 1<<20)
		ts.Check(err)
		var content map[string]any
		ts.Check(json.Unmarshal(plain, &content))
		content["time"] = time.Now().Add(100 * time.Hour).UnixMilli()
		plain, err = json.Marshal(content)
		ts.Check(err)
		header.Counter++
		data, err = crypto.SealHead(header, plain, epoch, keys.Device)
		ts.Check(err)
		ts.Check(os.WriteFile(name, data, 0o600))
	}
}

func TestStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, folder, keys := filepath.Join(dir, "x.db"), filepath.Join(dir, "folder"), filepath.Join(dir, "keys")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var out, errs strings.Builder
	if code := run(ctx, []string{"create", path, folder, "--keys", keys}, streams{out: &out, errs: &errs}); code != exitDone {
		t.Fatalf("exit code %d, %s", code, errs.String())
	}
	cancel()
	code := run(ctx, []string{"sync", path, "--keys", keys}, streams{out: &out, errs: &errs})
	if code != exitFailed || !strings.Contains(errs.String(), "It was stopped") {
		t.Errorf("exit code %d, %q", code, errs.String())
	}
}

// asked is a terminal at which nobody types: it tells when it is read.
type asked struct{ now chan struct{} }

func (in asked) Read([]byte) (int, error) {
	close(in.now)
	select {}
}

// Who is asked for a code and has none can stop there.
func TestStoppedWhereACodeIsAskedFor(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	in := asked{make(chan struct{})}
	go func() {
		<-in.now
		cancel()
	}()
	var out, errs strings.Builder
	dir := t.TempDir()
	code := run(ctx, []string{"restore", dir, filepath.Join(dir, "new.db"), "--keys", filepath.Join(dir, "keys")}, streams{in: in, out: &out, errs: &errs})
	if code != exitFailed || !strings.Contains(errs.String(), "It was stopped") {
		t.Errorf("exit code %d, %q", code, errs.String())
	}
}
