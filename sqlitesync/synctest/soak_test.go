package synctest

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

var soakFor = flag.Duration("soak", 0, "how long TestSoak runs; 0: not at all")

// TestMain lets the test binary be a process of TestSoak.
func TestMain(m *testing.M) {
	text := os.Getenv(soakVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var job soakJob
	err := json.Unmarshal([]byte(text), &job)
	if err == nil {
		err = job.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const soakVariable = "SYNCTEST_SOAK"

// soakFaults are those that a courier makes while processes run.
var soakFaults = slices.Concat(conflictCopies, []Fault{
	Delay, Reorder, Duplicate, Truncate, GrowFromEmpty, Zeros, Evict, CopyOnly, CopyDirectory, CaseRename, Touch, Junk,
	Temporary, Symlink, Pipe,
})

// TestSoak lets three processes, with engines that work in the background, write 50 rows a second each, kills and restarts them, and
// carries their files through a courier that spoils them. What they hold on to does not grow, and in the end all have the same rows.
//
//	go test ./sqlitesync/synctest -run TestSoak -v -soak=1h -timeout 2h
func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("it takes minutes: -soak=2m")
	}
	err := Run(uint64(time.Now().UnixNano()), func(w *World) {
		s := &soak{t: t, w: w, last: time.Now()}
		defer s.end()
		s.all()
	})
	if err != nil {
		t.Fatal(err)
	}
}

type soak struct {
	t        *testing.T
	w        *World
	members  []*member
	last     time.Time // when files were last carried
	restarts int
}

// A member is a device whose app is another process.
type member struct {
	*Device
	cmd   *exec.Cmd
	stdin io.WriteCloser
	mu    sync.Mutex
	said  []string // the answers to what it was asked
	seen  []measure
}

// A measure is what a process holds on to: rows, megabytes, descriptors, goroutines, and the files of one device in the folder.
type measure struct{ Rows, Memory, Descriptors, Goroutines, Files int }

const soakSchema = "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, value TEXT, n INTEGER)"

func (s *soak) all() {
	code := ""
	for n := range 3 {
		d := s.w.newDevice(nil)
		s.w.devices = append(s.w.devices, d)
		m := &member{Device: d}
		s.members = append(s.members, m)
		s.w.carry(d)
		s.start(m, code)
		if n < 2 {
			code = s.ask(m, "invite")
		}
		s.w.carry(d)
	}
	s.w.Allow(soakFaults...)
	began, restart := time.Now(), time.Now()
	for time.Since(began) < *soakFor {
		s.carry()
		if time.Since(restart) > 10*time.Second {
			restart = time.Now()
			s.restart(s.members[s.w.IntN(len(s.members))])
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.settle()
	s.report()
}

// carry carries files, and lets the World's time pass as that of the machine does.
func (s *soak) carry() {
	now := time.Now()
	s.w.now, s.last = s.w.now.Add(now.Sub(s.last)), now
	s.w.carry(s.members[s.w.IntN(len(s.members))].Device)
	s.w.trace = s.w.trace[max(0, len(s.w.trace)-maxShown):]
}

// start starts a process and waits until its engine runs.
func (s *soak) start(m *member, code string) {
	job, err := json.Marshal(soakJob{Path: m.Path(), Folder: m.Folder(), Keys: filepath.Join(m.dir, "keys"), Code: code, Name: m.name})
	s.w.must(err)
	m.cmd = exec.Command(os.Args[0])
	m.cmd.Env = append(os.Environ(), soakVariable+"="+string(job))
	m.cmd.Stderr = os.Stderr
	m.stdin, err = m.cmd.StdinPipe()
	s.w.must(err)
	stdout, err := m.cmd.StdoutPipe()
	s.w.must(err)
	s.w.must(m.cmd.Start())
	go m.listen(stdout)
	s.await(m, 0)
}

// listen takes in what a process says.
func (m *member) listen(stdout io.Reader) {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var is measure
		m.mu.Lock()
		if json.Unmarshal(lines.Bytes(), &is) == nil {
			m.seen = append(m.seen, is)
		} else {
			m.said = append(m.said, lines.Text())
		}
		m.mu.Unlock()
	}
}

// await waits for the answer after the first n, while files travel.
func (s *soak) await(m *member, n int) string {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		m.mu.Lock()
		said := slices.Clone(m.said)
		m.mu.Unlock()
		if len(said) > n {
			return said[n]
		}
		s.carry()
	}
	s.w.Fatalf("%s does not answer", m.name)
	return ""
}

func (s *soak) ask(m *member, what string) string {
	m.mu.Lock()
	n := len(m.said)
	m.mu.Unlock()
	_, err := fmt.Fprintln(m.stdin, what)
	s.w.must(err)
	return s.await(m, n)
}

// restart ends a process, in its sleep or at once, and starts it again.
func (s *soak) restart(m *member) {
	s.restarts++
	if s.w.IntN(2) == 0 {
		s.w.must(m.cmd.Process.Kill())
	} else {
		s.w.must(m.stdin.Close())
	}
	_ = m.cmd.Wait() // killed
	m.mu.Lock()
	m.said = nil
	m.mu.Unlock()
	s.start(m, "")
}

// settle ends all faults and waits until all processes have the same rows.
func (s *soak) settle() {
	s.w.calm = true
	for _, m := range s.members {
		s.ask(m, "stop")
	}
	var rows [3]string
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); {
		for range 20 {
			for _, m := range s.members {
				s.w.carry(m.Device)
			}
			time.Sleep(20 * time.Millisecond)
		}
		for i, m := range s.members {
			rows[i] = s.ask(m, "rows")
		}
		if rows[0] == rows[1] && rows[1] == rows[2] {
			s.t.Logf("all have %s", rows[0])
			return
		}
	}
	s.w.Fatalf("the processes have %q", rows)
}

// report shows what the processes held on to, and fails if it has grown.
func (s *soak) report() {
	s.t.Logf("%s, %d restarts, faults %v", *soakFor, s.restarts, s.w.hits)
	for _, m := range s.members {
		m.mu.Lock()
		seen := slices.Clone(m.seen)
		m.mu.Unlock()
		if len(seen) < 4 {
			s.t.Errorf("%s was measured %d times only", m.name, len(seen))
			continue
		}
		early, late := most(seen[:len(seen)/2]), most(seen[len(seen)/2:])
		s.t.Logf("%s: at most, in the first half %+v, in the second %+v", m.name, early, late)
		if late.Descriptors > early.Descriptors+20 || late.Goroutines > early.Goroutines+20 || late.Memory > 2*early.Memory+8 || late.Files > 2000 {
			s.t.Errorf("%s holds on to more and more", m.name)
		}
	}
}

func most(seen []measure) (most measure) {
	for _, is := range seen {
		most.Rows, most.Memory, most.Files = max(most.Rows, is.Rows), max(most.Memory, is.Memory), max(most.Files, is.Files)
		most.Descriptors, most.Goroutines = max(most.Descriptors, is.Descriptors), max(most.Goroutines, is.Goroutines)
	}
	return most
}

func (s *soak) end() {
	for _, m := range s.members {
		_ = m.stdin.Close()
		_ = m.cmd.Wait() // it may have been killed
	}
}

// A soakJob is what a process does: it opens its database, writes, says how it fares, and answers what it is asked.
type soakJob struct{ Path, Folder, Keys, Code, Name string }

func (j *soakJob) run() error {
	ctx := context.Background()
	db, err := sqlitesync.OpenDB(j.Path)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Exec(strings.Replace(soakSchema, "TABLE", "TABLE IF NOT EXISTS", 1)); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	options := &sqlitesync.Options{Keys: sqlitesync.FileKeys(j.Keys), PollInterval: time.Second, DeviceName: j.Name, Logger: log}
	s, err := sqlitesync.Open(ctx, db, j.Folder, options)
	if errors.Is(err, sqlitesync.ErrNotSetUp) && j.Code == "" {
		s, err = sqlitesync.Create(ctx, db, j.Folder, options)
	} else if errors.Is(err, sqlitesync.ErrNotSetUp) {
		s, err = sqlitesync.Join(ctx, db, j.Folder, j.Code, options)
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	ctx, stop := context.WithCancel(ctx)
	var writing sync.WaitGroup
	writing.Go(func() { err = j.write(ctx, db) })
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		j.answer(lines.Text(), db, s, stop)
	}
	stop()
	writing.Wait()
	if closed := s.Close(); closed != nil {
		fmt.Fprintln(os.Stderr, closed) // the folder may not be as it should
	}
	return err
}

func (j *soakJob) answer(question string, db *sql.DB, s *sqlitesync.Syncer, stop func()) {
	switch question {
	case "invite":
		invite, err := s.Invite(context.Background(), nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(invite.Code)
	case "stop":
		stop()
		fmt.Println("stopped")
	case "rows":
		var rows string
		err := db.QueryRow("SELECT count(*) || ' rows, ' || coalesce(sum(n), 0) || ', ' || coalesce(max(id || value), '') FROM item").Scan(&rows)
		fmt.Println(rows, err, len(s.Status().Waiting))
	}
}

// write writes 50 rows a second, of 2,000 that there may be.
func (j *soakJob) write(ctx context.Context, db *sql.DB) error {
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		id := fmt.Sprint(random.IntN(2000))
		var err error
		if random.IntN(5) == 0 {
			_, err = db.Exec("DELETE FROM item WHERE id = ?", id)
		} else {
			_, err = db.Exec("INSERT INTO item VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value, n = n + excluded.n",
				id, fmt.Sprint(j.Name, " wrote ", n), random.IntN(1000))
		}
		if err != nil {
			return err
		}
		if n%100 == 0 {
			if err := j.measure(db); err != nil {
				return err
			}
		}
	}
}

// measure says what the process holds on to.
func (j *soakJob) measure(db *sql.DB) error {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	is := measure{Memory: int(memory.HeapInuse >> 20), Goroutines: runtime.NumGoroutine()}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil { // elsewhere nothing is counted
		is.Descriptors = len(open)
	}
	if files, err := filepath.Glob(filepath.Join(j.Folder, "devices", "*", "*")); err == nil {
		count := make(map[string]int)
		for _, file := range files {
			if name, err := filepath.Rel(j.Folder, file); err == nil && ours.MatchString(filepath.ToSlash(name)) {
				count[filepath.Dir(name)]++
			}
		}
		is.Files = slices.Max(append(slices.Collect(maps.Values(count)), 0))
	}
	if err := db.QueryRow("SELECT count(*) FROM item").Scan(&is.Rows); err != nil {
		return err
	}
	line, err := json.Marshal(is)
	fmt.Println(string(line))
	return err
}
