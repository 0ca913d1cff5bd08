package changelog

import (
	"database/sql"
	"errors"
	"fmt"
)

// ErrBroken is wrapped by errors that say that something is not so that is always
// so in a correct program on a database that nobody else has written our tables
// of. To go on would make it worse.
var ErrBroken = errors.New("an invariant does not hold")

// CheckCount makes sure that a statement wrote this many rows.
func CheckCount(result sql.Result, want int) error {
	n, err := result.RowsAffected()
	if err == nil && n != int64(want) {
		err = broken("a statement that writes %d rows has written %d", want, n)
	}
	return err
}

// broken returns an error that wraps ErrBroken.
func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBroken, fmt.Sprintf(format, args...))
}
