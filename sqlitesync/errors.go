package sqlitesync

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// Errors that a program branches on, with [errors.Is].
var (
	// ErrNotSetUp: the database is in no space yet. Call [Create] or [Join].
	ErrNotSetUp = errors.New("database is not set up for sync")
	// ErrAlreadySetUp: the database is in a space already (call [Open]), or
	// the folder holds one already (call [Join]).
	ErrAlreadySetUp = errors.New("already set up for sync")
	// ErrNotMember: this device's keys are not here, as when the database alone
	// was copied from another machine, or its space does not count it as a member:
	// it was removed. Call [Uninstall] and [Join] with a new code.
	ErrNotMember = errors.New("not a member of the space")
	// ErrNotAllowed: this device's role does not let it decide that, or what it
	// is about is not there: no such member, no such invite.
	ErrNotAllowed = crypto.ErrNotAllowed
	// ErrInUse: another Syncer, in this process or another, works on the
	// database. Writes of this process are captured all the same.
	ErrInUse = errors.New("database is being synced by another process")
	// ErrFormat: a newer version of sqlitesync wrote this. Update the app.
	ErrFormat = errors.New("format is newer than this version can read")
	// ErrSchema: a table named in Options can't be synced; the text says why.
	ErrSchema = changelog.ErrSchema
	// ErrCode: the code is mistyped, expired, spent, withdrawn, replaced, or of
	// another folder.
	ErrCode = errors.New("code does not work")
	// ErrNotEmpty: the database that joins has rows of its own. Set
	// [Options.Existing] to say what shall become of them.
	ErrNotEmpty = errors.New("database has rows of its own")
	// ErrDriver: the handle is not one of modernc.org/sqlite on a UTF-8 database file,
	// or has a file open that was deleted or replaced since.
	ErrDriver = errors.New("database handle can't be used")
	// ErrFolder: the folder is missing, holds another space, can't be written,
	// or contains the database.
	ErrFolder = errors.New("folder can't be used")
	// ErrBroken: something is not so that is always so in a correct program on a
	// database that nobody else has written sqlitesync's tables of. The Syncer has
	// stopped: the app goes on, and its writes are captured, but nothing more is read
	// or published until the database is opened again.
	ErrBroken = changelog.ErrBroken
	// ErrPaused: Sync was called between Pause and Resume.
	ErrPaused = errors.New("sync is paused")
	// ErrClosed: the Syncer was closed.
	ErrClosed = errors.New("syncer is closed")
)

// Error says what went wrong with one thing: one segment, one device, one
// folder. It never contains a value of a row or a secret.
type Error struct {
	Op     string   // what was being done: "read segment", "publish"
	Device DeviceID // whose, if it is known
	Batch  uint64   // which of its batches, or 0
	Path   string   // file, relative to the folder, or ""
	Hint   string   // a sentence for the person: what to do about it
	Err    error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Device != (DeviceID{}) {
		b.WriteString(" of device " + e.Device.Short())
	}
	if e.Batch != 0 {
		fmt.Fprintf(&b, ", batch %d", e.Batch)
	}
	if e.Path != "" {
		b.WriteString(", " + e.Path)
	}
	return b.String() + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// fault makes an *Error for something that concerns no single file.
func fault(op string, err error, hint string) *Error { return &Error{Op: op, Err: err, Hint: hint} }

// SQLite's codes for a database that can't be written now.
const (
	codeReadOnly = 8
	codeFull     = 13
)

// hintRefused returns what to do if the database can't be written, up to when that is tried again, "" if err comes from something else.
func hintRefused(err error) string {
	switch changelog.ErrorCode(err) {
	case codeFull:
		return "There is no space left where the database is kept: what the app writes fails as well. Make room. Nothing is lost; "
	case codeReadOnly:
		return "This program can't write to the database. Allow writing to its file, to its files with -wal and -shm, and in their directory. Nothing is lost; "
	}
	return ""
}

// called is the error of a call: with a hint, if the database can't be written and nothing in it has one.
func called(op string, err error) error {
	var known *Error
	if refused := hintRefused(err); refused != "" && !errors.As(err, &known) {
		err = fault("write to the database", err, refused+"call it again then.")
	}
	return fmt.Errorf("sqlitesync: %s: %w", op, err)
}

// hint returns a sentence for the person about an error of the folder.
func hint(err error) string {
	if reason := folder.Reason(err); reason != "" {
		return reason + " Local changes are kept; the next pass tries again."
	}
	return "Local changes are kept; the next pass tries again."
}

// hintUnread is hint for a file of others that can't be used: what the folder says of it, or else that it is damaged.
func hintUnread(err error) string {
	if folder.Reason(err) != "" {
		return hint(err)
	}
	return hintDamaged
}
