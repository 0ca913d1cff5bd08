package sqlitesync

import (
	"context"
	"path/filepath"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/sqlitesync/internal/watch"
)

const (
	// activePoll is how often the database is asked whether anyone committed,
	// idlePoll how often if nobody has for idleAfter. Nothing else notices
	// commits of other processes without opening the database's files.
	activePoll = 40 * time.Millisecond
	idlePoll   = 250 * time.Millisecond
	idleAfter  = 3 * time.Second
	// maxRetry is the longest time until a pass that failed is tried again.
	maxRetry = 5 * time.Minute
)

// begin starts background work, unless the options forbid it.
func (s *Syncer) begin() {
	if !s.options.Manual {
		s.loop.Go(func() { s.background(s.life) })
	}
}

// background looks for commits and for changes in the folder, and runs passes.
// A commit is followed by a pass FlushDelay later, or maxFlushDelay after the
// first one; a change in the folder by a pass at once. What the watcher misses,
// the poll finds.
func (s *Syncer) background(ctx context.Context) {
	start := watch.New
	if s.environment.Deaf {
		start = watch.NewDeaf
	}
	watcher := start(s.options.PollInterval, s.log)
	defer watcher.Close()
	conn, err := s.handle.readers.Conn(ctx)
	if err != nil {
		s.report([]error{fault("watch the database", err, "Open the database again.")})
		return
	}
	defer conn.Close()
	commits := commitWatch{conn: changelog.NewConn(conn)}
	tick := time.NewTicker(activePoll)
	defer tick.Stop()

	now := time.Now()
	active := now // when something happened last
	idle := false
	var flush, first time.Time // when to publish commits; when the first of them was noticed
	look := now                // when to look at the folder: at once, who knows what happened while we were away
	retry := time.Second
	for {
		select {
		case <-ctx.Done():
			return
		case <-watcher.C():
			look = time.Now()
			now, active = look, look
		case now = <-tick.C:
			if commits.changed(ctx) {
				active = now
				if first.IsZero() {
					first = now
				}
				flush = now.Add(s.options.FlushDelay)
				if latest := first.Add(maxFlushDelay); flush.After(latest) {
					flush = latest
				}
			}
		}
		if quiet := now.Sub(active) > idleAfter; quiet != idle {
			idle = quiet
			tick.Reset(map[bool]time.Duration{true: idlePoll, false: activePoll}[idle])
		}
		if !due(look, now) && !due(flush, now) || s.state.paused() {
			continue
		}
		look, flush, first = time.Time{}, time.Time{}, time.Time{}
		if err := s.run(ctx); err != nil && ctx.Err() == nil {
			look = time.Now().Add(retry)
			retry = min(2*retry, maxRetry)
		} else {
			retry = time.Second
			if len(s.Status().Waiting) > 0 {
				look = time.Now().Add(causalWait / 4)
			}
		}
		watcher.SetDirectories(s.directories())
		watcher.Scanned(s.listed.Load())
		s.state.update(func(st *Status) { st.WatchErr = watcher.Degraded() })
	}
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// directories returns what is worth watching: few and small directories,
// because on some systems each file in a watched one costs a descriptor.
func (s *Syncer) directories() []string {
	if s.pass.lock(s.life) != nil {
		return nil
	}
	defer s.pass.unlock()
	devices := filepath.Join(s.path, "devices")
	dirs := []string{s.path, devices, filepath.Join(s.path, "roster")}
	for _, member := range s.roster.Members() {
		if member.ID != s.identity.device {
			dirs = append(dirs, filepath.Join(devices, member.ID.String()))
		}
	}
	return dirs
}

// commitWatch notices commits of any connection of any process.
type commitWatch struct {
	conn    *changelog.Conn
	version int64 // PRAGMA data_version
	schema  int64 // PRAGMA schema_version
}

// changed reports whether someone has committed since the last call and left
// something in the log, or another schema. An error counts as a change: the
// pass that follows will report it.
func (w *commitWatch) changed(ctx context.Context) bool {
	var version int64
	if err := w.conn.Get(ctx, "PRAGMA data_version", nil, &version); err != nil {
		return ctx.Err() == nil
	}
	if version == w.version {
		return false
	}
	w.version = version
	var logged bool
	var schema int64
	err := w.conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlitesync_log), (SELECT schema_version FROM pragma_schema_version)", nil, &logged, &schema)
	changed := err != nil || logged || schema != w.schema
	w.schema = schema
	return changed
}
