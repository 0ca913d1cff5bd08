package changelog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Definition is how an app has declared a table, in SQLite's own words: those
// that stand in sqlite_schema.
type Definition struct {
	Table   string   // canonical
	SQL     string   // CREATE TABLE …
	Indexes []string // CREATE INDEX …, CREATE UNIQUE INDEX …; without those of constraints
}

// Definitions returns how the tables are declared that take part, by name.
func (db *Database) Definitions(ctx context.Context) ([]Definition, error) {
	rows, err := db.Conn.Query(ctx, `SELECT tbl_name, type, sql FROM sqlite_schema
		WHERE type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type DESC, name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[string]*Definition)
	for rows.Next() {
		var name, kind, text string
		if err := rows.Scan(&name, &kind, &text); err != nil {
			return nil, err
		}
		name = CanonicalName(name)
		switch d := found[name]; {
		case db.byName[name] == nil:
		case kind == "table":
			found[name] = &Definition{Table: name, SQL: text}
		case d != nil:
			d.Indexes = append(d.Indexes, text)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	definitions := make([]Definition, 0, len(found))
	for _, d := range found {
		definitions = append(definitions, *d)
	}
	slices.SortFunc(definitions, func(a, b Definition) int { return strings.Compare(a.Table, b.Table) })
	return definitions, nil
}

// Names returns the canonical names of all tables and views of a database.
func Names(ctx context.Context, c *Conn) (map[string]bool, error) {
	rows, err := c.Query(ctx, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names := make(map[string]bool)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names[CanonicalName(name)] = true
	}
	return names, rows.Err()
}

// The limits of FORMAT.md for a definition that another device has sent. Each index
// and each foreign key makes every write of a row cost more.
const (
	maxDefinition  = 64 << 10 // bytes of one statement
	MaxIndexes     = 64       // of one table, those of constraints included
	MaxForeignKeys = 64       // of one table
)

// Check looks whether the statements are no more than what SQLite keeps of a
// CREATE TABLE and of CREATE INDEX, as far as their words tell. It is the first
// gate of what another device has sent, and keeps from SQLite's parser what is no
// definition at all; the second one is to make them in an empty database, and to
// look what has come of it.
func (d *Definition) Check() error {
	if err := checkName(d.Table); err != nil {
		return err
	}
	if len(d.Indexes) > MaxIndexes {
		return fmt.Errorf("it has more than %d indexes", MaxIndexes)
	}
	if err := checkStatement(d.SQL, "CREATE TABLE "); err != nil {
		return err
	}
	for _, index := range d.Indexes {
		if err := checkStatement(index, "CREATE INDEX ", "CREATE UNIQUE INDEX "); err != nil {
			return fmt.Errorf("an index: %w", err)
		}
	}
	return nil
}

// checkName refuses a name that stands for something that is not the app's.
func checkName(name string) error {
	switch {
	case name == "" || len(name) > maxName || !utf8.ValidString(name) || name != CanonicalName(name):
		return errors.New("its name is none that travels")
	case Reserved(name) || strings.HasPrefix(name, "pragma_"): // a table takes the place of a pragma's function, which the engine needs
		return errors.New("its name is reserved")
	}
	return nil
}

// Reserved reports whether a canonical name is one that only SQLite or this
// package gives to tables and indexes.
func Reserved(name string) bool {
	return strings.HasPrefix(name, "sqlite_") || strings.HasPrefix(name, reservedPrefix)
}

// checkStatement refuses a text that does not begin as SQLite writes it, and
// whose words can be more than a definition.
func checkStatement(text string, beginnings ...string) error {
	switch {
	case len(text) > maxDefinition:
		return fmt.Errorf("it is longer than %d bytes", maxDefinition)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return errors.New("it is no text")
	case !slices.ContainsFunc(beginnings, func(beginning string) bool { return strings.HasPrefix(text, beginning) }):
		return errors.New("it does not begin as SQLite writes it")
	case Raises(text):
		return errors.New("it has RAISE in it")
	}
	last := ""
	for _, token := range tokenize(text) {
		if strings.TrimSpace(token) == "" {
			continue
		}
		switch word := CanonicalName(token); {
		case strings.ContainsAny(token[:1], ";?:@#$\\"):
			return fmt.Errorf("it has a %q in it", token[:1])
		case word == "select":
			return errors.New("it has SELECT in it")
		case last == "collate" && !slices.Contains([]string{"binary", "nocase", "rtrim"}, strings.Trim(word, "\"'`[]")):
			return errors.New("it has a collation that is not SQLite's own")
		default:
			last = word
		}
	}
	return nil
}

// DefinedName returns the name of the table or index that a statement defines
// which begins as Check wants it, as it stands there.
func DefinedName(statement string) string {
	for _, beginning := range []string{"CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX "} {
		if rest, ok := strings.CutPrefix(statement, beginning); ok {
			if words := trimmed(tokenize(rest)); len(words) > 0 {
				return declaredName(words[0])
			}
		}
	}
	return ""
}
