package sqlitesync

import (
	"slices"
	"sync"
	"time"

	"github.com/sqlitesync/go/changelog"
)

// State says in one word what a Syncer is doing.
type State string

// The states.
const (
	StateIdle    State = "idle"
	StateSyncing State = "syncing"
	// StateCatchingUp: a pass merges parts of logs that were written anew, and are
	// new here. Until it ends, transactions show in parts, and rows wait for
	// those that they refer to without being counted as held.
	StateCatchingUp State = "catching up"
	StatePaused     State = "paused"
	// StateFailing: something does not work, see [Status].Problems. What can
	// go on does.
	StateFailing State = "failing"
)

// Status says how things stand. It is a copy: nobody changes it later.
type Status struct {
	State State
	// Pending counts local changes that do not stand in the folder yet, as far
	// as they have been looked at.
	Pending int
	// Behind counts segments of other devices that stand in the folder and are
	// not merged yet.
	Behind int
	// Progress says how far a pass that takes more than a second has come. Local
	// changes are published before it and after it, and the app can go on.
	Progress Progress
	// LastPublished and LastApplied are when changes last went out and came
	// in. Zero: not since the Syncer was opened.
	LastPublished, LastApplied time.Time
	// Held counts rows that this database can't show just now, see
	// [Syncer.Held], which also lists those that show without their parents.
	Held int
	// Conflicts counts what is kept of changes that lost, see [Syncer.Conflicts];
	// Collisions those among them that are two rows that were given one key.
	Conflicts, Collisions int
	// Undone counts the edits that the view sqlitesync_undone lists: what the app
	// wrote on this device although it only reads. They are 1,000 at most.
	Undone int
	// Clocks lists the devices, this one too, whose clocks are off by more than a
	// day, as far as the heads that were read say: those of a space of two can't
	// tell which of them is right, and the later one is listed. A clock that is
	// off costs no write, and decides only who wins between edits whose authors
	// had not seen each other. A device is listed until it has written its
	// head anew.
	Clocks []ClockOff
	// Diverged lists the tables of which another device knows something else than
	// this one, although both have read the same. It is an error of this program,
	// or somebody has written to its tables; see [Syncer.Verify].
	Diverged []Divergence
	// Altered lists the tables with rows that are not as they were last written or
	// merged: triggers were off or dropped, or a file was damaged.
	Altered []Alteration
	// Waiting lists what is known to be missing.
	Waiting []Waiting
	// Refused lists membership records that have no effect, 100 at most.
	Refused []Refused
	// Unsynced lists tables, and rows of tables, that stay on this device.
	Unsynced []Unsynced
	// Warnings lists what the author of the app should know: settings of its
	// handle, triggers, and tables of migration tools, that do not go well with sync,
	// and a place of the database from which a file-sync service carries it.
	Warnings []string
	// Problems lists what does not work, until a later pass finds it mended.
	Problems []error
	// Err is the first of Problems, or nil.
	Err error
	// WatchErr says why changes in the folder are noticed only every
	// PollInterval, or is nil.
	WatchErr error
	// ForeignKeys is whether the space enforces foreign keys, see Options. A
	// handle that does not do as the space does stands in Warnings.
	ForeignKeys bool
}

// Unsynced is a table, or the rows of one that Reason names, that stays on
// this device. Hint says what to do about it.
type Unsynced = changelog.Unsynced

// Waiting is a batch that can't be merged yet.
type Waiting struct {
	Device DeviceID // whose batch is missing
	Batch  uint64
	For    DeviceID // who needs it: Device itself if its own next file is missing
	Since  time.Time
	// Overdue: a batch of For was merged without it after a minute. It is merged
	// when it comes, and all devices come to the same rows.
	Overdue bool
}

// Hint says, in a sentence for a person, what would help.
func (w Waiting) Hint() string {
	if w.Device == w.For {
		return "A file of this device has not arrived, though later ones have. Let the sync client finish; if the file stays away, start the device: it makes it again. " +
			"If there is no such device any more, revoke it: an admin's device that has read the file publishes about a week later what it said, and then the device's directory can be removed from the folder."
	}
	return "Another device had read a file that has not arrived here. Let the sync client finish, or start the device that wrote it; if there is no such device any more, revoke it. What can be shown without it is shown after a minute."
}

// Refused is a membership record in the folder that has no effect: it belongs to
// another space, is not signed by whom it names, its author had no right to write
// it, or it is the second use of a code. It is no problem, and stays where it is.
type Refused struct {
	Path   string
	Device DeviceID // that the record names as its author; who wrote a forged one is not known
	Reason string   // completes "the record …"
}

// maxListed bounds how much of what is wrong is listed one by one.
const maxListed = 100

// Status returns how things stand. It does no I/O and is safe to call from a
// user interface's thread.
func (s *Syncer) Status() Status { return s.state.snapshot() }

// state is the Status that passes write and Status reads.
type state struct {
	mu      sync.Mutex
	status  Status
	isPause bool
	doing   State // in a pass; "": there is none
}

func (st *state) snapshot() Status {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := st.status
	c.Waiting, c.Unsynced, c.Problems = slices.Clone(c.Waiting), slices.Clone(c.Unsynced), slices.Clone(c.Problems)
	c.Refused, c.Diverged, c.Altered = slices.Clone(c.Refused), slices.Clone(c.Diverged), slices.Clone(c.Altered)
	c.Warnings, c.Clocks = slices.Clone(c.Warnings), slices.Clone(c.Clocks)
	switch {
	case st.isPause:
		c.State = StatePaused
	case len(c.Problems) > 0:
		c.State, c.Err = StateFailing, c.Problems[0]
	case st.doing != "":
		c.State = st.doing
	default:
		c.State = StateIdle
	}
	return c
}

// update changes the status under its mutex.
func (st *state) update(fn func(*Status)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	fn(&st.status)
}

func (st *state) setPaused(paused bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.isPause = paused
}

func (st *state) paused() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.isPause
}

func (st *state) setDoing(doing State) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.doing = doing
}
