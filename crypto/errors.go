package crypto

import "errors"

// What can be wrong with a file. Every error of a Parse, Verify or Open step matches exactly one of them with
// [errors.Is], except where a function documents a type of its own.
var (
	// ErrNotOurs means that the file is of another program, or of another kind than the one asked for.
	ErrNotOurs = errors.New("not a file of this kind")

	// ErrVersion means that a newer version of the format wrote the file: the program must be updated.
	ErrVersion = errors.New("file has a newer format, update the program")

	// ErrDamaged means that bytes are missing or wrong. A file that is still on its way looks the same: try again later.
	ErrDamaged = errors.New("file is damaged or not complete")

	// ErrSignature means that the file was not signed with the key that it is checked with.
	ErrSignature = errors.New("signature is wrong")

	// ErrWrongKey means that the key given does not open the file.
	ErrWrongKey = errors.New("key does not open the file")

	// ErrTooLarge means that a limit is exceeded: one of the caller's, or one of the format's when writing.
	ErrTooLarge = errors.New("limit exceeded")

	// ErrNotAllowed means that a record would have no effect: its author has not the right to write it, or it is about
	// something that is not there.
	ErrNotAllowed = errors.New("not allowed by the roster")

	// ErrInvite means that an invite does not admit: it was spent, or never counted.
	ErrInvite = errors.New("invite does not admit, it was used or is not valid")
)
