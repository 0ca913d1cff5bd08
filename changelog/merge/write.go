package merge

import (
	"context"
	"fmt"

	"github.com/sqlitesync/go/changelog"
)

// write puts changes of one shape, table.Put or a delete, into the table, over
// what is there, and writes their clocks over those given. A row that the schema
// refuses goes through Combine, which holds it.
func (m *merger) write(ctx context.Context, table *changelog.Table, changes []changelog.Change, clocks map[string]changelog.Clock) error {
	if len(changes) == 0 {
		return nil
	}
	for i := range changes {
		touch(table, changes[i].Key)
	}
	accepted, refused := changes, []changelog.Change(nil)
	var err error
	if changes[0].Shape.Kind == changelog.Delete {
		for i := range changes {
			if err := m.lose(ctx, table, changes[i].Key, nil); err != nil {
				return err
			}
			if err := m.remove(ctx, table, changes[i].Key); err != nil {
				return err
			}
		}
	} else if accepted, refused, err = m.writePuts(ctx, table, changes); err != nil {
		return err
	}
	m.result.Rows[table.Name] += len(accepted)
	if err := m.db.Record(ctx, table, accepted, changelog.Shown, digestOf(table, clocks, accepted)); err != nil {
		return err
	}
	for i := range refused {
		if err := m.refused(ctx, table, &refused[i]); err != nil {
			return err
		}
	}
	return nil
}

// writePuts writes puts in groups. A statement that fails undoes itself; its
// rows are then written one by one, to find out which the schema refuses.
func (m *merger) writePuts(ctx context.Context, table *changelog.Table, puts []changelog.Change) (accepted, refused []changelog.Change, err error) {
	err = changelog.Groups(puts, len(table.Key)+len(table.Columns), func(group []changelog.Change) error {
		if !table.Triggered || m.db.Silent(table.Name) {
			err := m.upsert(ctx, table, group)
			if err == nil {
				accepted = append(accepted, group...)
			}
			if !changelog.Refused(err) {
				return err
			}
		}
		for i := range group {
			switch err := m.put(ctx, table, &group[i]); {
			case err == nil:
				accepted = append(accepted, group[i])
			case changelog.Refused(err):
				refused = append(refused, group[i])
			default:
				return err
			}
		}
		return nil
	})
	return accepted, refused, err
}

// refused deals with a change that would have been written simply, had the
// schema not refused it.
func (m *merger) refused(ctx context.Context, table *changelog.Table, change *changelog.Change) error {
	before, err := m.clock(ctx, table, change.Key)
	if err != nil {
		return err
	}
	return m.show(ctx, table, Combine([]changelog.Change{*change}), before)
}

// remove deletes a row from the app's table.
func (m *merger) remove(ctx context.Context, table *changelog.Table, key changelog.Key) error {
	query := table.Statement("remove", 1, func() string {
		return fmt.Sprintf("DELETE FROM %s WHERE %s", changelog.Quote(table.Name), changelog.KeyParameters(table))
	})
	if table.Guarded {
		return m.removeGuarded(ctx, table, key, query)
	}
	return m.exec(ctx, table, query, key)
}
