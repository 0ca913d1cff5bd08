package sqlitesync

import (
	"time"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// The log of a device forks when two copies of a database go on as that device,
// until one of them notices (succession.go). A reader can have read one branch,
// while the folder ends up with the other. It then reads that one from the start:
// merging what was merged changes nothing.

// lookForFork compares the newest batch that was read of a device with what
// stands in its place now, once in a while: it costs reading one header.
func (s *Syncer) lookForFork(f *folder.Folder, r *reading) {
	if s.looked == nil {
		s.looked = make(map[DeviceID]time.Time)
	}
	if s.environment.Since(s.looked[r.device]) < headInterval {
		return
	}
	s.looked[r.device] = s.environment.Beat()
	for _, name := range r.names {
		if name.Last != r.position {
			continue
		}
		start, size, err := f.PeekSegment(r.device.String(), name, maxSegment)
		if err != nil {
			continue
		}
		peeked, err := s.peek(r, start, size)
		if err == nil && peeked.Header().Last == r.position && peeked.Tail() != r.tail {
			s.rewind(r)
			return
		}
	}
}

// rewind makes a reading begin at the start of the log.
func (s *Syncer) rewind(r *reading) {
	s.log.Warn("a device's log has forked: it is read again", "device", r.device, "batch", r.position)
	r.position, r.tail, r.next, r.rewound = 0, crypto.Tail{}, nil, true
}
