package changelog_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

func TestTransact(t *testing.T) {
	ctx, failure := context.Background(), errors.New("no")
	d := newApp(t, "CREATE TABLE t (a)")
	insert := func(a int) error {
		_, err := d.conn.Exec(ctx, "INSERT INTO t VALUES (?)", a)
		return err
	}
	d.transact(func(context.Context) error { return insert(1) })
	err := d.conn.Transact(ctx, changelog.Durable, func() error { return errors.Join(insert(2), failure) })
	if !errors.Is(err, failure) {
		t.Errorf("the error is %v", err)
	}
	// A failed attempt takes back what it wrote, and nothing else.
	d.transact(func(context.Context) error {
		err := d.conn.Attempt(ctx, func() error { return errors.Join(insert(3), failure) })
		if !errors.Is(err, failure) {
			t.Errorf("the error is %v", err)
		}
		return errors.Join(insert(4), d.conn.Attempt(ctx, func() error { return insert(5) }), d.conn.CheckTransaction(ctx))
	})
	if got := d.text("SELECT group_concat(a) FROM t"); got != "1,4,5" {
		t.Errorf("the table has %s", got)
	}
	// What ends a transaction from within must not go unnoticed.
	err = d.conn.Transact(ctx, changelog.Ordinary, func() error {
		if err := errors.Join(insert(6), d.conn.Script(ctx, "ROLLBACK")); err != nil {
			t.Fatal(err)
		}
		return d.conn.CheckTransaction(ctx)
	})
	if err == nil {
		t.Error("a transaction that was rolled back within went well")
	}
	err = d.conn.Transact(ctx, changelog.Ordinary, func() error {
		return d.conn.Attempt(ctx, func() error { return errors.Join(d.conn.Script(ctx, "ROLLBACK"), failure) })
	})
	if !errors.Is(err, failure) || changelog.ErrorCode(err) != 1 {
		t.Errorf("the error is %v", err)
	}
	d.transact(func(context.Context) error { return insert(7) })
	if got := d.text("SELECT group_concat(a) FROM t"); got != "1,4,5,7" {
		t.Errorf("the table has %s", got)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := d.conn.Transact(cancelled, changelog.Ordinary, func() error { return insert(8) }); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	cancelled, cancel = context.WithCancel(ctx)
	err = d.conn.Transact(cancelled, changelog.Ordinary, func() error {
		cancel()
		_, err := d.conn.Exec(cancelled, "INSERT INTO t VALUES (9)")
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	d.transact(func(context.Context) error { return insert(10) })
	if got := d.text("SELECT group_concat(a) FROM t"); got != "1,4,5,7,10" {
		t.Errorf("the table has %s", got)
	}
}

func TestDurability(t *testing.T) {
	d := newApp(t, "CREATE TABLE t (a)")
	for _, test := range []struct {
		durability changelog.Durability
		want       int
	}{{changelog.Ordinary, 1}, {changelog.Durable, 2}, {changelog.Durable, 2}, {changelog.Ordinary, 1}} {
		var synchronous int
		d.check(d.conn.Transact(context.Background(), test.durability, func() error {
			return d.conn.Get(context.Background(), "PRAGMA synchronous", nil, &synchronous)
		}))
		if synchronous != test.want {
			t.Errorf("durability %t runs with synchronous=%d, want %d", test.durability, synchronous, test.want)
		}
	}
}

// What a transaction that was rolled back had made must be gone from memory too: the numbers of devices and shapes, and the
// capture of a changed schema.
func TestRollbackForgets(t *testing.T) {
	ctx, failure := context.Background(), errors.New("disk full")
	d := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
	first, second := changelog.DeviceID{1}, changelog.DeviceID{2}
	d.exec("CREATE TABLE u (id INTEGER PRIMARY KEY)")
	err := d.conn.Transact(ctx, changelog.Ordinary, func() error {
		_, err := d.db.DeviceNumber(ctx, first)
		return errors.Join(err, d.db.Capture(ctx, changelog.Selection{}), failure)
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	if changed, err := d.db.SchemaChanged(ctx); err != nil || !changed {
		t.Errorf("the schema is said to be captured: %v", err)
	}
	d.transact(func(ctx context.Context) error {
		two, err := d.db.DeviceNumber(ctx, second)
		if err != nil {
			return err
		}
		one, err := d.db.DeviceNumber(ctx, first)
		if err == nil && one == two {
			t.Errorf("two devices have the number %d", one)
		}
		if changed, err := d.db.SchemaChanged(ctx); err != nil || !changed {
			t.Errorf("the schema is said to be captured: %v", err)
		}
		return errors.Join(err, d.db.SetPosition(ctx, first, 3, [32]byte{3}), d.db.Capture(ctx, changelog.Selection{}))
	})
	var again *changelog.Database
	d.transact(func(ctx context.Context) (err error) {
		again, err = changelog.Open(ctx, d.conn, self)
		return err
	})
	if batch, tail, err := again.Position(ctx, first); batch != 3 || tail != [32]byte{3} || err != nil {
		t.Errorf("the first device is at %d, %v", batch, err)
	}
	seen, err := again.Seen(ctx)
	if err != nil || len(seen) != 1 || seen[first] != 3 {
		t.Errorf("seen is %v, %v", seen, err)
	}
	d.exec("INSERT INTO u VALUES (1)")
	d.expect("put u 1: ")
}

func TestErrorCode(t *testing.T) {
	d := newApp(t, "CREATE TABLE t (a NOT NULL UNIQUE)")
	for query, want := range map[string]int{"INSERT INTO t VALUES (NULL)": 19, "SELECT nothing": 1} {
		_, err := d.app.Exec(query)
		if got := changelog.ErrorCode(err); got != want {
			t.Errorf("%s has the code %d, want %d", query, got, want)
		}
	}
	if got := changelog.ErrorCode(sql.ErrNoRows); got != 0 {
		t.Errorf("an error that is not SQLite's has the code %d", got)
	}
}

// A panic leaves no transaction open.
func TestTransactPanics(t *testing.T) {
	d := newDevice(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
	func() {
		defer func() { _ = recover() }()
		d.transact(func(context.Context) error { panic("a bug") })
	}()
	d.transact(func(context.Context) error { return nil })
}

// Who keeps the write lock for long is likely the app: the error says what is to be done.
func TestALockThatIsNotReleased(t *testing.T) {
	ctx := t.Context()
	d := newApp(t, "CREATE TABLE t (a)")
	if err := d.conn.Script(ctx, "PRAGMA busy_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	other, err := d.app.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	err = d.conn.Transact(ctx, changelog.Ordinary, func() error { return nil })
	if changelog.ErrorCode(err) != 5 || !strings.Contains(err.Error(), "end it, and try again") {
		t.Errorf("the error is %v", err)
	}
	if _, err := other.ExecContext(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	d.transact(func(context.Context) error { return nil })
}
