package merge

// RememberWritten lets a merge remember only n rows of a table, until the
// returned function is called.
func RememberWritten(n int) (restore func()) {
	before := maxWritten
	maxWritten = n
	return func() { maxWritten = before }
}
