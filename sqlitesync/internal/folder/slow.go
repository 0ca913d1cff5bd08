package folder

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// patience is how long a read may stand still before it is left to itself.
	patience = 5 * time.Second
	// leastPatience is enough for what is here, on a machine that is busy.
	leastPatience = 100 * time.Millisecond
)

// SlowReads remembers reads that stand still. A sync service may keep the content of a file elsewhere and fetch it while
// somebody reads, which takes as long as it takes, and for ever without a network: no system can call such a read back. So it
// is left to end by itself, and nobody reads that file until it has; by then its content is mostly here. The memory must
// outlive a [Folder], because such reads do: see [SlowReads.Open]. The zero value is ready to be used, by several
// goroutines at once.
type SlowReads struct {
	// Patience is how long a read may stand still, at least, before it is left to itself; twice as long at most. 0 means 5 seconds.
	Patience time.Duration

	mu      sync.Mutex
	pending map[string]*slowRead
}

type slowRead struct{ ended bool }

// remember lets the Folder know of reads that earlier ones left to themselves, and these of its own.
func (f *Folder) remember(slow *SlowReads) {
	f.slow = slow
	f.patience = slow.Patience
	if f.patience == 0 {
		f.patience = patience
	}
}

// inTime runs a read, which says that it is alive whenever it gets on. If it does not for too long, or such a read of
// the file is under way from before, the error is ErrSlow. Each read that was waited for in vain halves the patience with the
// next ones: a folder full of such files must not hold up a pass.
func inTime[T any](f *Folder, name string, read func(alive func()) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	key := f.path + "\x00" + name
	if f.slow.stands(key) {
		return none, fmt.Errorf("%s: %w", name, ErrSlow)
	}
	done := make(chan result, 1)
	var alive atomic.Bool // since the timer ran out last: to wake who waits each time would take longer than to list a directory
	this := new(slowRead)
	go func() {
		value, err := read(func() { alive.Store(true) })
		f.slow.end(key, this)
		done <- result{value, err}
	}()
	f.mu.Lock()
	wait := f.patience
	f.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case r := <-done:
			return r.value, r.err
		case <-timer.C:
			if alive.Swap(false) {
				timer.Reset(wait)
			} else if f.slow.leave(key, this) {
				f.mu.Lock()
				f.patience = max(f.patience/2, leastPatience)
				f.mu.Unlock()
				return none, fmt.Errorf("%s: %w", name, ErrSlow)
			}
		}
	}
}

// stands reports whether a read was left to itself and has not ended.
func (s *SlowReads) stands(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending[key] != nil
}

// leave notes that a read is left to itself, unless it has just ended.
func (s *SlowReads) leave(key string, read *slowRead) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if read.ended {
		return false
	}
	if s.pending == nil {
		s.pending = make(map[string]*slowRead)
	}
	s.pending[key] = read
	return true
}

// end notes that a read has ended.
func (s *SlowReads) end(key string, read *slowRead) {
	s.mu.Lock()
	defer s.mu.Unlock()
	read.ended = true
	if s.pending[key] == read {
		delete(s.pending, key)
	}
}

// livelyReader says after each piece of a file that the read is alive.
type livelyReader struct {
	io.Reader
	alive func()
}

// maxPiece is small enough for a slow network drive to deliver within the patience with a read.
const maxPiece = 256 << 10

func (r livelyReader) Read(data []byte) (int, error) {
	n, err := r.Reader.Read(data[:min(len(data), maxPiece)])
	r.alive()
	return n, err
}
