package sqlitesync

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"

	"modernc.org/sqlite"
)

// committing is a connector whose connections ask before they commit: a transaction, or a statement that is one of its own.
type committing struct {
	driver.Connector
	step func(step string, perform func() error) error
}

func (c committing) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &committingConn{sqliteConn: conn.(sqliteConn), step: c.step}, nil
}

type sqliteConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	sqlite.AuthorizerRegisterer
}

type committingConn struct {
	sqliteConn
	step  func(step string, perform func() error) error
	begun bool // a transaction
}

func (c *committingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	statement, err := c.sqliteConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	verb, _, _ := strings.Cut(query, " ")
	return &committingStatement{statement.(sqliteStatement), c, verb}, nil
}

type sqliteStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type committingStatement struct {
	sqliteStatement
	conn *committingConn
	verb string
}

func (s *committingStatement) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	perform := func() error {
		result, err = s.sqliteStatement.ExecContext(ctx, args)
		return err
	}
	switch s.verb {
	case "BEGIN":
		err = perform()
		s.conn.begun = s.conn.begun || err == nil
	case "ROLLBACK":
		err = perform()
		s.conn.begun = false
	case "COMMIT":
		err = s.conn.step("commit", func() error {
			s.conn.begun = false
			return perform()
		})
	case "INSERT", "REPLACE", "UPDATE", "DELETE":
		if !s.conn.begun {
			err = s.conn.step("commit of "+s.verb, perform)
			break
		}
		err = perform()
	default:
		err = perform()
	}
	return result, err
}

// giveCommits puts the faults under what the engine of a device commits, which must not be open.
func (f *faults) giveCommits(d *testDevice) {
	f.disarm()
	d.environment.Connect = func(connector driver.Connector) driver.Connector { return committing{connector, f.step} }
}

// Each time that a device commits fails once, in both forms: nothing was committed, and it was although it failed. The next pass
// sees to it.
func TestAFailureAtAnyCommitLosesNothing(t *testing.T) {
	t.Parallel()
	for _, act := range acts {
		for _, persisted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s persisted=%v", act.name, persisted), func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				commits := new(faults)
				s.a.close()
				commits.giveCommits(s.a)
				s.a.open()
				steps := 0
				for failed := true; failed; steps++ {
					act.prepare(s)
					commits.arm(steps, persisted)
					err := s.a.trySync()
					step := commits.failed
					failed = step != ""
					commits.disarm()
					// A head that was read and could not be remembered is read again.
					if step == "commit" && err == nil || step == "" && err != nil {
						t.Errorf("at commit %d %q fails, and the pass says %v", steps, step, err)
					}
					s.check(fmt.Sprint("commit ", steps))
				}
				if steps < 2 {
					t.Error("no commit could fail")
				}
				s.a.close()
				s.a.environment.Connect = nil
				s.a.open()
				s.check("at the end")
				s.checkTidy("at the end")
				late := newTestDevice(t, itemSchema)
				late.join(s.a.folder, s.a.invite())
				late.sync()
				wantSame(t, []*testDevice{s.a, s.b, late})
			})
		}
	}
}
