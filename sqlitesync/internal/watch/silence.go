package watch

import "errors"

var errSilent = errors.New("files come and go, and the system tells nothing of it: the folder may lie on a network drive")

// maxSilent is how many changes without an event show that none will come. After the first of them its event may
// still be on its way.
const maxSilent = 2

// A silence is what is known of a file system that tells nothing of changes although its directories are watched.
type silence struct {
	heard  bool   // something since the last scan
	before bool   // something between the scan before that and the last: it may have come while that one ran
	found  uint64 // what the last scan found; 0: there was none
	silent int    // changes in a row of which nothing was heard
}

func (s *silence) scanned(found uint64) {
	switch {
	case s.heard || s.before:
		s.silent = 0
	case s.found != 0 && found != s.found:
		s.silent++
	}
	s.found, s.heard, s.before = found, false, s.heard
}

func (s *silence) lasts() bool { return s.silent >= maxSilent }
