package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

// progress shows on a terminal that something long is going on, in one line that
// is written again and again: how long it takes, and the last message of the log.
// Passes tell how far they have come, and what they say takes its place.
type progress struct {
	mu      sync.Mutex
	message string // of the log
	far     string // how far a pass has come, "" if it does not say
}

// progressDelay is how long something takes before it counts as long.
const progressDelay = 500 * time.Millisecond

// logger returns where the engine logs to: the standard error stream with
// --verbose, else the progress.
func (a *app) logger() *slog.Logger {
	if a.verbose {
		return slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(&a.progress)
}

// during runs fn and shows progress while it does.
func (a *app) during(doing string, fn func() error) error {
	if !a.errTerminal || a.verbose || a.json {
		return fn()
	}
	done := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		begun := time.Now()
		tick := time.NewTicker(progressDelay)
		defer tick.Stop()
		for {
			select {
			case <-done:
				fmt.Fprint(a.errs, "\r\x1b[K")
				return
			case <-tick.C:
				line := fmt.Sprintf("%s … %s %s", doing, time.Since(begun).Round(time.Second), a.progress.last())
				fmt.Fprintf(a.errs, "\r\x1b[K%.78s", visible(line))
			}
		}
	})
	err := fn()
	close(done)
	shown.Wait()
	return err
}

func (p *progress) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.far, p.message)
}

// Enabled, Handle, WithAttrs and WithGroup make it a slog.Handler.
func (p *progress) Enabled(context.Context, slog.Level) bool { return true }

func (p *progress) Handle(_ context.Context, record slog.Record) error {
	message := record.Message
	record.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "device" || attr.Key == "batch" {
			message += fmt.Sprintf(" %s %.8s", attr.Key, attr.Value)
		}
		return true
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.message = message
	return nil
}

// reached notes how far a pass has come, or, by "", that it has ended.
func (p *progress) reached(far string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.far = far
}

// howFar says how far a pass has come, with a bar where the end is known.
func howFar(p sqlitesync.Progress) string {
	if p.Of == 0 {
		return fmt.Sprintf("%s: %s", p.Phase, plural(p.Rows, "row"))
	}
	const width = 20
	done := min(width, p.Files*width/p.Of)
	text := fmt.Sprintf("%s [%s%s] %d of %s", p.Phase, strings.Repeat("=", done), strings.Repeat(" ", width-done), p.Files, plural(p.Of, "file"))
	if left := p.Left.Round(time.Second); left > 0 {
		text += fmt.Sprintf(", about %s left", left)
	}
	return text
}

func (p *progress) WithAttrs([]slog.Attr) slog.Handler { return p }
func (p *progress) WithGroup(string) slog.Handler      { return p }
