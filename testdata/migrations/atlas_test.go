package migrations

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"ariga.io/atlas/sql/schema"
	"ariga.io/atlas/sql/sqlite"
)

// TestAtlas changes a table as Atlas does, and ent, which is built on it: what ALTER TABLE can't do, they do by making a
// table, copying the rows, dropping the old one and renaming the new one.
func TestAtlas(t *testing.T) {
	ways(t, func(t *testing.T, plainly [2]bool) {
		a, b := newPair(t, func(db *sql.DB) error {
			_, err := db.Exec(`CREATE TABLE user (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER);
				CREATE TABLE pet (id TEXT PRIMARY KEY NOT NULL, owner TEXT REFERENCES user (id) ON DELETE CASCADE)`)
			return err
		})
		a.exec("INSERT INTO user VALUES ('1', 'Ada', 36), ('2', 'Bob', 7); INSERT INTO pet VALUES ('p', '1')")
		settle(a, b)
		migration := change(func(table *schema.Table) {
			name, _ := table.Column("name")
			name.Type.Null = false // which ALTER TABLE can't
			table.Columns = append(table.Columns, schema.NewStringColumn("mail", "text").SetDefault(&schema.Literal{V: "'none'"}))
			table.AddIndexes(schema.NewUniqueIndex("user_name").AddColumns(name))
		})
		b.exec("UPDATE user SET age = age + 1 WHERE id = '1'")
		a.migrate(plainly[0], migration)
		settle(a, b)
		a.exec("INSERT INTO user (id, name) VALUES ('3', 'Cy'); UPDATE user SET mail = 'bob@here' WHERE id = '2'")
		b.migrate(plainly[1], migration)
		settle(a, b)
		expect("SELECT concat_ws(' ', id, name, age, mail) FROM user ORDER BY id", "1 Ada 37 none, 2 Bob 7 bob@here, 3 Cy none", a, b)
		expect("SELECT concat_ws(' ', id, owner) FROM pet", "p 1", a, b)
		b.exec("REPLACE INTO user (id, name) VALUES ('4', 'Bob')")
		settle(a, b)
		expect("SELECT concat_ws(' ', id, name) FROM user ORDER BY id", "1 Ada, 3 Cy, 4 Bob", a, b)
	})
}

// change lets Atlas find out how to get from the table user to what edit makes of it, and do so. It has to be told to leave
// the tables of sync alone, as everything that it is not told of.
func change(edit func(*schema.Table)) func(context.Context, *sql.DB) error {
	return func(ctx context.Context, db *sql.DB) error {
		driver, err := sqlite.Open(db)
		if err != nil {
			return err
		}
		inspect := func() (*schema.Table, error) {
			found, err := driver.InspectSchema(ctx, "main", &schema.InspectOptions{Tables: []string{"user"}})
			if err != nil {
				return nil, err
			}
			table, ok := found.Table("user")
			if !ok {
				return nil, errors.New("no table user")
			}
			return table, nil
		}
		before, err := inspect()
		if err != nil {
			return err
		}
		after, err := inspect()
		if err != nil {
			return err
		}
		edit(after)
		changes, err := driver.TableDiff(before, after)
		if err != nil {
			return err
		}
		return driver.ApplyChanges(ctx, []schema.Change{&schema.ModifyTable{T: after, Changes: changes}})
	}
}
