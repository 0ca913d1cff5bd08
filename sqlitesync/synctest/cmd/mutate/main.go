// Command mutate plants the bugs listed in mutations.go into copies of this
// module, one at a time, and runs the tests that should notice. It prints a table
// of what noticed, and fails if a bug survives.
//
//	go run ./sqlitesync/synctest/cmd/mutate [-only REGEXP] [-workers N] [-build]
//
// Run it in the root of the module. With two processors it takes about half an hour.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// testTime bounds one run of tests: a bug that makes them hang is noticed too.
const testTime = 10 * time.Minute

func main() {
	only := flag.String("only", "", "plant only the bugs whose description `MATCHES`")
	workers := flag.Int("workers", 1, "how many copies to work in at once")
	build := flag.Bool("build", false, "only see whether the bugs compile")
	flag.Parse()
	survivors, err := run(*only, *workers, *build)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if survivors > 0 {
		fmt.Fprintf(os.Stderr, "mutate: %d bugs survive\n", survivors)
		os.Exit(1)
	}
}

func run(only string, workers int, build bool) (survivors int, err error) {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return 0, err
	}
	queue := make(chan mutation)
	var mu sync.Mutex // guards survivors and err
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			failed := work(queue, build, func(m mutation, by string) {
				mu.Lock()
				defer mu.Unlock()
				if by == "" {
					survivors++
					by = "**nothing**"
				}
				fmt.Printf("| %s | `%s` | %s |\n", m.bug, m.file, by)
			})
			mu.Lock()
			defer mu.Unlock()
			if failed != nil {
				err = failed
			}
			for range queue { // so that nobody waits for this worker
			}
		})
	}
	fmt.Println("| bug | planted in | noticed by |\n|---|---|---|")
	for _, m := range mutations {
		if chosen.MatchString(m.bug) {
			queue <- m
		}
	}
	close(queue)
	working.Wait()
	return survivors, err
}

// work plants bugs in a copy of its own and tells what noticed each.
func work(queue <-chan mutation, build bool, tell func(mutation, string)) error {
	root, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(root) }()
	if err := copyModule(root); err != nil {
		return err
	}
	for m := range queue {
		by, err := try(root, &m, build)
		if err != nil {
			return fmt.Errorf("%s: %w", m.bug, err)
		}
		tell(m, by)
	}
	return nil
}

// copyModule copies the files that git knows.
func copyModule(root string) error {
	list, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		target := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(target, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// try plants one bug, runs the tests, takes it out again, and returns which test
// noticed it, "" if none did.
func try(root string, m *mutation, build bool) (by string, err error) {
	path := filepath.Join(root, m.file)
	before, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if n := bytes.Count(before, []byte(m.right)); n != 1 {
		return "", fmt.Errorf("%s has %q %d times, want once", m.file, m.right, n)
	}
	if err := os.WriteFile(path, bytes.Replace(before, []byte(m.right), []byte(m.wrong), 1), 0o600); err != nil {
		return "", err
	}
	defer func() {
		if restored := os.WriteFile(path, before, 0o600); err == nil {
			err = restored
		}
	}()
	if out, err := goCommand(root, testTime, "build", "./..."); err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	if build {
		return "not tried", nil
	}
	for _, test := range m.tests {
		out, err := goCommand(root, testTime, "test", "-count=1", "-failfast", "-vet=off", "-timeout", testTime.String(), "-run", test.run, "./"+test.in)
		if err != nil {
			return noticed(test, out)
		}
		if bytes.Contains(out, []byte("no tests to run")) {
			return "", fmt.Errorf("no test in %s matches %s", test.in, test.run)
		}
	}
	return "", nil
}

func goCommand(root string, limit time.Duration, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	return cmd.CombinedOutput()
}

var failure = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// noticed says which test failed.
func noticed(test room, out []byte) (string, error) {
	if match := failure.FindSubmatch(out); match != nil {
		return fmt.Sprintf("`%s` (%s)", match[1], test.in), nil
	}
	switch {
	case bytes.Contains(out, []byte("panic: test timed out")):
		return "tests that do not end (" + test.in + ")", nil
	case bytes.Contains(out, []byte("panic:")), bytes.Contains(out, []byte("FAIL")) && !bytes.Contains(out, []byte("[build failed]")):
		return "a panic (" + test.in + ")", nil
	}
	return "", fmt.Errorf("the tests of %s can't be run:\n%s", test.in, out)
}
