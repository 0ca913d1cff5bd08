package changelog

import (
	"fmt"
	"strings"
)

type trigger struct {
	name, sql string
	victims   *Unique  // it notes the rows that a REPLACE may remove through this index; nil: it notes the row itself
	probes    []string // what SQLite understands if it understands the claims
}

// triggers returns the triggers that capture writes to the table. Each is one
// append to the log and nothing else, in SQL that SQLite 3.24 knows, so that
// any program in any language can write to the table with nothing loaded.
//
// They name no columns but those of the key, because a trigger that names a
// column stands in the way of dropping it. The one exception are the columns
// of unique indexes: a REPLACE removes the rows that are in its way without
// firing their delete triggers, so a BEFORE trigger notes those rows. Noting
// too many is harmless: [Database.Pending] looks at what became of a row.
func triggers(table *Table) []trigger {
	on := Quote(table.Name)
	var list []trigger
	var victims *Unique
	var probes []string
	add := func(suffix, event, condition, body string) {
		name := fmt.Sprintf("%s%d_%s", reservedPrefix, table.Number, suffix)
		text := fmt.Sprintf("CREATE TRIGGER %s %s ON %s%s BEGIN %s; END", Quote(name), event, on, condition, body)
		list = append(list, trigger{name, text, victims, probes})
	}
	columns := logColumns(table)
	note := func(row string, number int64) string {
		return fmt.Sprintf("INSERT INTO sqlitesync_log (%s) VALUES (%d, julianday('now'), %s)",
			columns, number, qualified(table.Key, row))
	}
	add("insert", "AFTER INSERT", "", note("NEW", table.Number))
	add("update", "AFTER UPDATE", "", note("NEW", table.Number))
	// Not "UPDATE OF key": that is matched by name, and UPDATE t SET rowid = …
	// changes an INTEGER PRIMARY KEY under another name.
	add("rekey", "AFTER UPDATE", " WHEN "+rekeyed(table), note("OLD", -table.Number))
	add("delete", "AFTER DELETE", "", note("OLD", -table.Number))
	for i := range table.Unique {
		unique := &table.Unique[i]
		if unique.opaque { // see [Database.Page]
			continue
		}
		victims, probes = unique, nil
		var notes []string
		for _, claims := range unique.claims(table) {
			probes = append(probes, fmt.Sprintf(`SELECT 1 FROM %s AS "new" WHERE EXISTS (SELECT 1 FROM %s WHERE %s)`, on, on, unique.Match(claims)))
			notes = append(notes, fmt.Sprintf("INSERT INTO sqlitesync_log (%s) SELECT %d, julianday('now'), %s FROM %s WHERE %s",
				columns, table.Number, qualified(table.Key, ""), on, unique.Match(claims)))
		}
		body := strings.Join(notes, "; ")
		update := "BEFORE UPDATE"
		if names := unique.updated(); names != nil {
			update += " OF " + strings.Join(names, ", ")
		}
		add(fmt.Sprintf("replace_insert_%d", i), "BEFORE INSERT", "", body)
		add(fmt.Sprintf("replace_update_%d", i), update, "", body)
	}
	return list
}

func logColumns(table *Table) string { return "tbl, at, " + KeyColumns("", table) }

// KeyColumns lists k0, k1 …, the columns that hold the table's key in tables of
// ours.
func KeyColumns(alias string, table *Table) string {
	names := make([]string, len(table.Key))
	for i := range table.Key {
		names[i] = fmt.Sprintf("%sk%d", alias, i)
	}
	return strings.Join(names, ", ")
}

func qualified(columns []Column, row string) string {
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = Quote(column.Name)
		if row != "" {
			names[i] = row + "." + names[i]
		}
	}
	return strings.Join(names, ", ")
}

func rekeyed(table *Table) string {
	differs := make([]string, len(table.Key))
	for i, column := range table.Key {
		name := Quote(column.Name)
		differs[i] = fmt.Sprintf("OLD.%s IS NOT %s", name, column.Compared("NEW."+name))
	}
	return strings.Join(differs, " OR ")
}
