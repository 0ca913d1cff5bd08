package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync"
)

// Exit codes; help exit-codes explains them.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitNotSetUp
	exitAlreadySetUp
	exitInUse
	exitFolder
	exitCode
	exitNotMember
	exitNotEmpty
	exitFormat
	exitProblems
	exitNotAllowed
)

// usageError is an error in the command line.
type usageError struct{ error }

func usageErrorf(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// failure is an error with a hint for those who use the command, instead of the
// one for those who program with the package.
type failure struct {
	error
	hint string
	code int
}

func (f *failure) Unwrap() error { return f.error }

// problemsError says that problems are left, which were printed.
type problemsError struct{ code int }

func (problemsError) Error() string { return "problems are left" }

// advice says what to do about the errors that a program branches on.
var advice = []struct {
	err  error
	code int
	hint string
}{
	{sqlitesync.ErrNotSetUp, exitNotSetUp, "Found a space with 'sqlitesync create DB FOLDER', or enter one with 'sqlitesync join DB FOLDER'."},
	{sqlitesync.ErrAlreadySetUp, exitAlreadySetUp, "Enter the folder's space with 'sqlitesync join DB FOLDER', or use an empty folder."},
	{sqlitesync.ErrInUse, exitInUse, "Stop the other program, 'sqlitesync watch' or the app, do this, and start it again."},
	{sqlitesync.ErrNotMember, exitNotMember, "Take sync out with 'sqlitesync uninstall DB', which leaves the rows, and enter again with 'sqlitesync join DB FOLDER --merge' and a new code. If the keys are in another place, say --keys."},
	{sqlitesync.ErrNotAllowed, exitNotAllowed, "Only admins decide: see the roles, and which devices and invites there are, with 'sqlitesync devices DB' and 'sqlitesync invites DB'."},
	{sqlitesync.ErrCode, exitCode, "Make another code with 'sqlitesync invite DB' on a device that is in, and let the file-sync service carry the folder here first."},
	{sqlitesync.ErrNotEmpty, exitNotEmpty, "Say --merge to add these rows to the space, or --replace to remove them here after a copy of the database was written. A table that stays on each device, such as that of a migration tool: --exclude TABLE, there too."},
	{sqlitesync.ErrFormat, exitFormat, "Update sqlitesync."},
	{sqlitesync.ErrFolder, exitFolder, ""},
	{fs.ErrNotExist, exitFailed, "Look whether the path is right."},
	{context.Canceled, exitFailed, "It was stopped; what was done until then stays. Run it again."},
}

// Result codes of SQLite that a person can do something about.
const (
	sqliteBusy     = 5
	sqliteLocked   = 6
	sqliteReadOnly = 8
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteCantOpen = 14
	sqliteNotADB   = 26
)

const hintBusy = "Another program is in the middle of a transaction: let it finish, or end it. Nothing is lost; run this again."

// sqliteAdvice says what to do about what SQLite says of the database.
var sqliteAdvice = map[int]string{
	sqliteBusy:     hintBusy,
	sqliteLocked:   hintBusy,
	sqliteReadOnly: "Allow writing to the database file, to its files with -wal and -shm, and in their directory.",
	sqliteCorrupt: "The database file is damaged. Move it away with its -wal and -shm files, and get the rows back: 'sqlitesync restore FOLDER NEWDB', " +
		"or 'sqlitesync join NEWDB FOLDER --make-tables' with a code from another device.",
	sqliteFull:     "Free some space on the disk that the database is on.",
	sqliteCantOpen: "Look whether the path is that of a database, in a directory that is there, and who may read and write both.",
	sqliteNotADB:   "It is no SQLite database, or an encrypted one, which sqlitesync can't read. Look whether the path is right.",
}

// explain returns an error as a sentence, a hint and an exit code.
func explain(err error) (text, hint string, code int) {
	text, code = sentence(err), exitFailed
	var own *failure
	var known *sqlitesync.Error
	switch {
	case errors.As(err, &own):
		return text, own.hint, own.code
	case errors.As(err, &known):
		hint = known.Hint
	}
	var sqlite interface{ Code() int } // an error of modernc.org/sqlite
	if hint == "" && errors.As(err, &sqlite) {
		hint = sqliteAdvice[sqlite.Code()&0xff]
	}
	for _, a := range advice {
		if errors.Is(err, a.err) {
			if a.hint != "" {
				hint = a.hint
			}
			code = a.code
			break
		}
	}
	var mistyped *crypto.CodeError
	switch {
	case errors.As(err, &mistyped):
		hint = "Type it again as it was shown: capitals, blanks and dashes do not matter."
	case errors.Is(err, sqlitesync.ErrAlreadySetUp):
		text, _, _ = strings.Cut(text, ";") // what follows is for programs
	}
	return text, hint, code
}

// sentence returns the text of an error without the names of the package and of
// the call, which the command line says already.
func sentence(err error) string {
	if errors.Is(err, context.Canceled) {
		return "stopped"
	}
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, "sqlitesync: "); ok {
		if _, rest, ok = strings.Cut(rest, ": "); ok {
			text = rest
		}
	}
	return text
}

// fail prints an error and returns the exit code.
func (a *app) fail(err error) int {
	var left problemsError
	var wrong usageError
	switch {
	case errors.As(err, &left):
		return left.code
	case errors.As(err, &wrong):
		a.printError(wrong.Error(), "Run 'sqlitesync help' or a verb with --help.", exitUsage)
		return exitUsage
	}
	text, hint, code := explain(err)
	a.printError(text, hint, code)
	return code
}

func (a *app) printError(text, hint string, code int) {
	if a.json {
		encoded, _ := json.Marshal(struct { // strings and a number do not fail
			Error string `json:"error"`
			Hint  string `json:"hint"`
			Code  int    `json:"exit_code"`
		}{text, hint, code})
		fmt.Fprintf(a.errs, "%s\n", encoded)
		return
	}
	fmt.Fprintf(a.errs, "%s %s\n", a.paint(red, "sqlitesync:"), visible(text))
	if hint != "" {
		fmt.Fprintf(a.errs, "  %s\n", visible(hint))
	}
}

// printProblems prints what a pass could not do, and returns what to exit with.
func (a *app) printProblems(problems []error) error {
	if len(problems) == 0 {
		return nil
	}
	code := exitProblems
	for i, problem := range problems {
		text, hint, known := explain(problem)
		if i == 0 && known != exitFailed {
			code = known
		}
		a.printError(text, hint, code)
	}
	return problemsError{code}
}
