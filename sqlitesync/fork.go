package sqlitesync

import (
	"context"
	"errors"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// The log of a device forks when two copies of a database go on as that device,
// until one of them notices (succession.go). A reader can have read one branch,
// while the folder ends up with the other. It then reads that one from the start:
// merging what was merged changes nothing.

// lookForFork compares the newest batch that was read of a device with what
// stands in its place now, once in a while: it costs reading one header.
func (s *Syncer) lookForFork(f *folder.Folder, r *reading) {
	if !s.lookAgain(r.device) {
		return
	}
	for _, name := range r.names {
		if name.Last != r.position {
			continue
		}
		if peeked, err := s.peekNamed(f, r, name); err != nil || peeked.Tail() == r.tail {
			continue
		}
		if _, err := s.openNamed(f, r, name); err == nil { // it is whole, and accepted
			s.rewind(r)
			return
		}
	}
}

// readBranch begins to read a log from the start that ends before what was read of it, and of which a copy went on as another device:
// what stands there can be another branch, and nothing tells where it begins. Once, and when it looks otherwise.
func (s *Syncer) readBranch(ctx context.Context, f *folder.Folder, r *reading) error {
	if !s.hasSuccessor(r.device) || len(r.names) == 0 || r.reaches() >= r.known { // what reaches further tells by its tails
		return nil
	}
	before, err := s.loadOpened(ctx, r.device)
	if looks := s.looks(f, r, false); err == nil && before.looks != looks {
		s.rewind(r)
		r.branch = looks
	}
	return err
}

// noteReadBranches notes which of these logs were read to their ends.
func (s *Syncer) noteReadBranches(ctx context.Context, readings []*reading) error {
	for _, r := range readings {
		through := r.ended || !r.failed && r.next != nil && r.next.segments == nil
		if r.branch == "" || !through {
			continue
		}
		if err := s.saveOpened(ctx, r.device, openedLog{looked: s.environment.Now(), looks: r.branch}); err != nil {
			return err
		}
	}
	return nil
}

// hasSuccessor reports whether the database of a device, or a copy of it, goes on as another device. Of its log then can stand what
// was left when both had published: files of one branch that the other one's do not lead to.
func (s *Syncer) hasSuccessor(device DeviceID) bool { return s.succeeded[device] }

// forksAt reports whether what comes next in a log is of another branch of it, of which the beginning is gone: whoever wrote it goes
// on as another device, and says it again.
func (s *Syncer) forksAt(r *reading, next *group) bool {
	return next.fault != nil && errors.Is(next.fault, errDiscontinued) && s.hasSuccessor(r.device)
}

// lookAgain reports whether it is time to compare the log of a device with what is known of it.
func (s *Syncer) lookAgain(device DeviceID) bool {
	if s.looked == nil {
		s.looked = make(map[DeviceID]time.Time)
	}
	if s.environment.Since(s.looked[device]) < headInterval {
		return false
	}
	s.looked[device] = s.environment.Beat()
	return true
}

// noteRewound notes where a log that was read from the start goes on with another
// branch: the next pass need not read it again to come there.
func (s *Syncer) noteRewound(r *reading) {
	if s.rewound == nil {
		s.rewound = make(map[DeviceID]uint64)
	}
	s.rewound[r.device] = r.position
}

// rewind reads a log that has forked from the start.
func (s *Syncer) rewind(r *reading) {
	s.log.Warn("a device's log has forked: it is read again", "device", r.device, "batch", r.position)
	r.startOver()
	s.setOpened(r.device, openedLog{})
}
