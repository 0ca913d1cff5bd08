package environment

import (
	"context"
	"database/sql/driver"
	"time"
)

// An Environment is what stands between an engine and the world. The zero value is the world as it is.
type Environment struct {
	// Wall is the clock that people set: stamps of heads and records, expiries, times of grace. nil: [time.Now].
	Wall func() time.Time
	// Steady is the clock that nobody sets, by which an engine waits for others. nil: [time.Now], which also has the reading of
	// such a clock.
	Steady func() time.Time
	// Step comes between the engine and the folder's disk, see [folder.Folder.Interpose]. nil: nothing does.
	Step func(step string, perform func() error) error
	// Connect comes between the engine and the connection by which it writes to the database. nil: nothing does.
	Connect func(driver.Connector) driver.Connector
	// Keys is where keys are, if the options do not say it. nil: where they are by default.
	Keys Keys
	// Manual keeps the engine from working in the background, whatever the options say.
	Manual bool
	// Deaf keeps the file system from telling of changes in the folder, as many network drives do.
	Deaf bool
	// Compact lets a pass write the log anew wherever it can, however short it is.
	Compact bool
}

// Keys is sqlitesync.KeyStore.
type Keys interface {
	Load(ctx context.Context, id string) ([]byte, error)
	Save(ctx context.Context, id string, secret []byte) error
}

// key is the key of the value in a context.
type key struct{}

// With returns a context that carries e.
func With(ctx context.Context, e *Environment) context.Context {
	return context.WithValue(ctx, key{}, e)
}

// From returns what With has put into the context, or else the world as it is.
func From(ctx context.Context) *Environment {
	if e, ok := ctx.Value(key{}).(*Environment); ok {
		return e
	}
	return new(Environment)
}

// Now reads the clock on the wall.
func (e *Environment) Now() time.Time {
	if e.Wall == nil {
		return time.Now()
	}
	return e.Wall()
}

// Beat reads the steady clock.
func (e *Environment) Beat() time.Time {
	if e.Steady == nil {
		return time.Now()
	}
	return e.Steady()
}

// Since returns how much time has passed on the steady clock since a Beat.
func (e *Environment) Since(beat time.Time) time.Duration { return e.Beat().Sub(beat) }
