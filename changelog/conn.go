package changelog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Conn is the engine's connection to one database. It caches prepared
// statements and runs each statement to its end: a statement that a context
// interrupts costs the pool the whole connection, and with it the authorizer.
// The context is looked at before each statement instead.
//
// A Conn is used by one goroutine at a time.
type Conn struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	// synchronous is what the pragma was set to last, "" before the first time.
	synchronous string

	// Quiet turns on and off that triggers of the app do nothing, as far as
	// that can be had; nil if it can't.
	Quiet func(bool)

	// What is in memory may be of a transaction that was rolled back: doubt is
	// called then, and restore at the beginning of the next one.
	doubt   func()
	restore func(context.Context) error
	stale   bool
}

// NewConn takes over conn.
func NewConn(conn *sql.Conn) *Conn {
	return &Conn{conn: conn, statements: make(map[string]*sql.Stmt)}
}

// Close closes the statements and the connection.
func (c *Conn) Close() error {
	for _, statement := range c.statements {
		statement.Close()
	}
	return c.conn.Close()
}

// Exec runs a statement that is worth keeping prepared.
func (c *Conn) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	statement, ctx, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return statement.ExecContext(ctx, args...)
}

// ExecQuietly runs a statement without what triggers of the app do. It is
// compiled each time, since that is when triggers are kept quiet.
func (c *Conn) ExecQuietly(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.Quiet != nil {
		c.Quiet(true)
		defer c.Quiet(false)
	}
	return c.conn.ExecContext(context.WithoutCancel(ctx), query, args...)
}

// Query runs a query that is worth keeping prepared. Until the caller has closed
// the rows it may run other statements, but not the same one, and no transaction
// may begin.
func (c *Conn) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	statement, ctx, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(ctx, args...)
}

// Get scans the first row of a query into dest; no row is [sql.ErrNoRows].
func (c *Conn) Get(ctx context.Context, query string, args []any, dest ...any) error {
	statement, ctx, err := c.prepare(ctx, query)
	if err != nil {
		return err
	}
	return statement.QueryRowContext(ctx, args...).Scan(dest...)
}

// Script runs statements that are not worth keeping, such as DDL.
func (c *Conn) Script(ctx context.Context, script string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := c.conn.ExecContext(context.WithoutCancel(ctx), script)
	return err
}

// compile finds out whether SQLite can compile a statement, without running it.
func (c *Conn) compile(ctx context.Context, query string) error {
	rows, err := c.conn.QueryContext(context.WithoutCancel(ctx), "EXPLAIN "+query)
	if err != nil {
		return err
	}
	return errors.Join(rows.Err(), rows.Close())
}

func (c *Conn) prepare(ctx context.Context, query string) (*sql.Stmt, context.Context, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ctx = context.WithoutCancel(ctx)
	if statement, ok := c.statements[query]; ok {
		return statement, ctx, nil
	}
	statement, err := c.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, nil, &compileError{err}
	}
	c.statements[query] = statement
	return statement, ctx, nil
}

// maxStatements is how many prepared statements a Conn keeps. Their texts
// depend on tables, shapes and devices, and a space can have many of each.
const maxStatements = 256

// trim forgets all statements when there are too many. It is called where no
// rows are being read.
func (c *Conn) trim() {
	if len(c.statements) <= maxStatements {
		return
	}
	for _, statement := range c.statements {
		statement.Close()
	}
	clear(c.statements)
}

// Durability says what a power cut may take back.
type Durability bool

const (
	// Ordinary transactions may be lost by a power cut, together with all
	// later ones, as with any app in WAL mode and synchronous=NORMAL.
	Ordinary Durability = false
	// Durable transactions are not, and neither is anything committed before
	// them, by whatever connection: the commit syncs the whole WAL. From BEGIN
	// to COMMIT it is these system calls of SQLite's (locks, and a checkpoint
	// that comes due, left out):
	//
	//	pwrite(wal, header)     if the WAL begins anew, with
	//	fsync(wal)
	//	pwrite(wal, frame)      header and content of each page that changed; the last says that it commits
	//	fsync(wal)              on macOS fcntl(wal, F_FULLFSYNC), as asked by the one who opens
	//	fd = open(directory)    the first time of a connection, with
	//	fsync(fd)
	//	close(fd)
	//
	// An ordinary one ends with the frames. If an fsync fails SQLite rolls back;
	// a crash before the next commit, which writes over the frames, may find the
	// transaction there all the same.
	Durable Durability = true
)

// Transact runs fn in a transaction that holds the write lock from its start
// (BEGIN IMMEDIATE), commits if fn returns nil and rolls back otherwise, or if
// it panics.
func (c *Conn) Transact(ctx context.Context, durability Durability, fn func() error) (err error) {
	c.trim()
	if err := c.setDurability(ctx, durability); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", Locked(err))
	}
	committed := false
	defer func() {
		if !committed {
			err = errors.Join(err, c.rollback(ctx))
		}
	}()
	if err := c.within(ctx, fn); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	committed = true
	return nil
}

// Snapshot runs fn, which only reads, in a transaction: what others commit
// meanwhile it does not see, and does not wait for it.
func (c *Conn) Snapshot(ctx context.Context, fn func() error) error {
	c.trim()
	if _, err := c.Exec(ctx, "BEGIN"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err := c.within(ctx, fn)
	if _, end := c.Exec(context.WithoutCancel(ctx), "ROLLBACK"); end != nil && !inactive(end) {
		err = errors.Join(err, fmt.Errorf("end a snapshot: %w", end))
	}
	return err
}

func (c *Conn) rollback(ctx context.Context) error {
	c.stale = true
	if c.doubt != nil {
		c.doubt()
	}
	// Some errors (a full disk, an I/O error) have rolled back already.
	if _, err := c.Exec(context.WithoutCancel(ctx), "ROLLBACK"); err != nil && !inactive(err) {
		return fmt.Errorf("rollback: %w", err)
	}
	return nil
}

func (c *Conn) within(ctx context.Context, fn func() error) error {
	if c.stale && c.restore != nil {
		if err := c.restore(ctx); err != nil {
			return fmt.Errorf("read again: %w", err)
		}
	}
	c.stale = false
	return fn()
}

// CheckTransaction returns an error if the transaction that Transact began is
// over: a trigger of the app can end it (RAISE(ROLLBACK)), and statements that
// follow would commit one by one.
func (c *Conn) CheckTransaction(ctx context.Context) error {
	if _, err := c.Exec(ctx, "BEGIN"); err == nil { // refused inside a transaction
		return errors.New("a trigger has rolled back the transaction")
	}
	return nil
}

// Attempt runs fn inside a transaction, and takes back what it wrote if it
// fails.
func (c *Conn) Attempt(ctx context.Context, fn func() error) error {
	if _, err := c.Exec(ctx, "SAVEPOINT sqlitesync_attempt"); err != nil {
		return err
	}
	err := fn()
	if err != nil {
		if _, rollback := c.Exec(context.WithoutCancel(ctx), "ROLLBACK TO sqlitesync_attempt"); rollback != nil {
			return fmt.Errorf("roll back: %w, after: %w", rollback, err)
		}
	}
	if _, release := c.Exec(context.WithoutCancel(ctx), "RELEASE sqlitesync_attempt"); release != nil {
		return fmt.Errorf("release: %w", release)
	}
	return err
}

func (c *Conn) setDurability(ctx context.Context, durability Durability) error {
	synchronous := "NORMAL"
	if durability == Durable {
		synchronous = "FULL"
	}
	if c.synchronous == synchronous {
		return nil
	}
	if err := c.Script(ctx, "PRAGMA synchronous="+synchronous); err != nil {
		return err
	}
	c.synchronous = synchronous
	return nil
}

// ErrorCode returns SQLite's primary result code of err, 0 if it has none.
func ErrorCode(err error) int {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code() & 0xff
	}
	return 0
}

// codeError is SQLITE_ERROR: the statement makes no sense, here and now.
const codeError = 1

// codeBusy is SQLITE_BUSY: the lock did not come before the busy timeout was over.
const codeBusy = 5

// Busy reports whether err comes from a lock that another connection has kept for longer than the busy timeout.
func Busy(err error) bool { return ErrorCode(err) == codeBusy }

// Locked returns err, and says what to do if it comes from a lock that is not released.
func Locked(err error) error {
	if !Busy(err) {
		return err
	}
	return fmt.Errorf("another connection has kept the database's write lock for long, perhaps in a transaction that the app has left open; end it, and try again: %w", err)
}

// Senseless reports whether err says that SQLite can't compile a statement: a
// trigger makes no sense, or needs a function that this process does not have.
func Senseless(err error) bool { return ErrorCode(err) == codeError }

// compileError is an error about a statement, not about rows.
type compileError struct{ err error }

func (e *compileError) Error() string { return e.err.Error() }
func (e *compileError) Unwrap() error { return e.err }

// Refused reports whether err says that the schema does not take a row:
// SQLITE_CONSTRAINT, or SQLITE_MISMATCH for a key that is no integer, or
// SQLITE_TOOBIG, or SQLITE_ERROR from what an index, a CHECK, a generated
// column or a trigger computes of the row.
func Refused(err error) bool {
	var compile *compileError
	switch ErrorCode(err) {
	case 18, 19, 20:
		return true
	case codeError:
		return !errors.As(err, &compile)
	}
	return false
}

// Taken reports whether err says that another row has a unique value
// (SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY).
func Taken(err error) bool {
	var coded interface{ Code() int }
	return errors.As(err, &coded) && (coded.Code() == 2067 || coded.Code() == 1555)
}

// inactive reports whether ROLLBACK failed because there was no transaction
// any more.
func inactive(err error) bool { return ErrorCode(err) == codeError }
