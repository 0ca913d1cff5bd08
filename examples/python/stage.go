package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// command returns the file name of the command.
func (s *stage) command() string {
	if runtime.GOOS == "windows" {
		return "sqlitesync.exe"
	}
	return "sqlitesync"
}

// sync runs the command. The keys stand in the temporary directory too.
func (s *stage) sync(args ...string) (string, error) {
	return s.run(filepath.Join(s.dir, s.command()), append(args, "--keys", "keys")...)
}

func (s *stage) run(name string, args ...string) (string, error) {
	command := exec.CommandContext(s.ctx, name, args...)
	command.Dir = s.dir
	var failed strings.Builder
	command.Stderr = &failed
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(name), err, failed.String())
	}
	return string(out), nil
}

// lines are what a watch prints.
type lines struct{ *bufio.Scanner }

// until reads lines up to one that contains text.
func (l lines) until(text string) error {
	for l.Scan() {
		if strings.Contains(l.Text(), text) {
			return nil
		}
	}
	return fmt.Errorf("watch ended before it said %s: %w", text, l.Err())
}

// watch starts sqlitesync watch for a device, and waits until it watches.
func (s *stage) watch(device string) (said lines, stop func(), err error) {
	command := exec.CommandContext(s.ctx, filepath.Join(s.dir, s.command()), "watch", device+".db", "--json", "--keys", "keys")
	command.Dir, command.Stderr = s.dir, os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return lines{}, nil, err
	}
	if err := command.Start(); err != nil {
		return lines{}, nil, err
	}
	stop = func() {
		if command.Process.Signal(os.Interrupt) != nil { // Windows has no such signal
			_ = command.Process.Kill()
		}
		_ = command.Wait()
	}
	said = lines{bufio.NewScanner(out)}
	if err := said.until(`"event":"watching"`); err != nil {
		stop()
		return lines{}, nil, err
	}
	return said, stop, nil
}
