package sqlitesync

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"modernc.org/sqlite"
)

// openPool opens connections of ours to the database file at path.
func openPool(path string, pragmas ...string) (*sql.DB, error) {
	connector, err := newConnector(path, false, pragmas)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// openOwnPool opens connections on which nothing of the app's runs. What its hooks
// have made there goes: temporary objects can stand in the place of its tables, or of
// ours, and each transaction of ours would lock the databases that they attach. Where
// connect is not nil it stands between, see [environment.Environment].
func openOwnPool(path string, connect func(driver.Connector) driver.Connector, pragmas ...string) (*sql.DB, error) {
	// The setting changes, whatever it was, and SQLite drops what is temporary.
	connector, err := newConnector(path, true, append([]string{"temp_store(FILE)", "temp_store(MEMORY)"}, pragmas...))
	if err != nil {
		return nil, err
	}
	if connect != nil {
		connector = connect(connector)
	}
	return sql.OpenDB(connector), nil
}

func newConnector(path string, own bool, pragmas []string) (driver.Connector, error) {
	const timeout = "busy_timeout(10000)"
	connector, err := sqlite.NewConnector(dataSource(path, timeout))
	if err != nil {
		return nil, err
	}
	return &pinned{connector, "PRAGMA " + strings.Join(append([]string{timeout}, pragmas...), "; PRAGMA "), own}, nil
}

// pinned sets pragmas when a connection is there. Hooks that the app has registered
// with the driver (sqlite.RegisterConnectionHook) run for our connections too, after
// the pragmas of the data source: with foreign keys on, a merge would cascade; and
// with query_only on, a hook that makes a temporary table would fail.
type pinned struct {
	driver.Connector
	pragmas string
	own     bool // what hooks have registered, and databases that they have attached, goes
}

func (p *pinned) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if p.own {
		if err := unhook(conn); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if _, err := conn.(driver.ExecerContext).ExecContext(ctx, p.pragmas, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if p.own {
		if err := detachAll(ctx, conn); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// unhook takes from a connection what the app has registered with it: its rules are
// for its own statements and commits, and it is not to be told of those of sync.
func unhook(conn any) error {
	hooks := conn.(sqlite.HookRegisterer)
	hooks.RegisterPreUpdateHook(nil)
	hooks.RegisterCommitHook(nil)
	hooks.RegisterRollbackHook(nil)
	return conn.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(nil)
}

// detachAll detaches all databases from a connection but its own.
func detachAll(ctx context.Context, conn driver.Conn) error {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx,
		"SELECT group_concat('DETACH \"' || replace(name, '\"', '\"\"') || '\"', '; ') FROM pragma_database_list WHERE seq > 1", nil)
	if err != nil {
		return err
	}
	script := make([]driver.Value, 1)
	if err := errors.Join(rows.Next(script), rows.Close()); err != nil || script[0] == nil {
		return err
	}
	_, err = conn.(driver.ExecerContext).ExecContext(ctx, script[0].(string), nil)
	return err
}
