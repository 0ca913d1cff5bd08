package workload

import (
	"fmt"
	"slices"
	"strings"
)

// A Migration is one change of the schema.
type Migration int

// The migrations.
const (
	FillPriority Migration = iota
	RenameTitle
	RenameProject
	RebuildTask
	ChangeUniqueIndex
	RenameDiary
	RenameBody
	AddMood
	RebuildDiary
	RenameKey
	RebuildNote
	ChangeIndexes
	RenameAndRebuildArea
	DropMemo
	numMigrations // how many there are
)

// What tables and columns are called depends on how far the device has come.

// Has reports whether the migration is one of those that made a version.
func (w *Workload) Has(version int, m Migration) bool {
	return slices.Contains(w.Migrations[:version], m)
}

func (w *Workload) named(version int, m Migration, before, after string) string {
	if w.Has(version, m) {
		return after
	}
	return before
}

// Area returns what the table of areas is called.
func (w *Workload) Area(version int) string {
	return w.named(version, RenameAndRebuildArea, "area", "region")
}

// Project returns what the table of projects is called.
func (w *Workload) Project(version int) string {
	return w.named(version, RenameProject, "project", "plan")
}
func (w *Workload) title(version int) string {
	return w.named(version, RenameTitle, "title", "subject")
}

// Diary returns what the table of the diary is called.
func (w *Workload) Diary(version int) string {
	return w.named(version, RenameDiary, "diary", "journal")
}

// Body returns what the column of the diary is called that has the text.
func (w *Workload) Body(version int) string {
	return w.named(version, RenameBody, "body", "content")
}

// Key returns what the key of the diary is called.
func (w *Workload) Key(version int) string { return w.named(version, RenameKey, "id", "page") }

// Script returns the statements of the migration that follows a version. Without fill it leaves a new column of the diary empty.
func (w *Workload) Script(version int, fill bool) string {
	m := w.Migrations[version]
	diary, body, key := w.Diary(version), w.Body(version), w.Key(version)
	switch m {
	case FillPriority:
		return "ALTER TABLE task ADD COLUMN prio INT DEFAULT 3; UPDATE task SET prio = length(" + w.title(version) + ");"
	case RenameTitle:
		return "ALTER TABLE task RENAME COLUMN title TO subject;"
	case RenameProject:
		return "ALTER TABLE project RENAME TO plan;"
	case RebuildTask:
		columns, more := "id, "+w.title(version)+", project, up, slug, code, updated_at", ""
		if w.Has(version, FillPriority) {
			columns, more = columns+", prio", ", prio INT DEFAULT 3"
		}
		return rebuild("task", w.taskTable("task_new", w.title(version), w.Project(version), more), columns) + touchTrigger(w.title(version))
	case ChangeUniqueIndex:
		return fmt.Sprintf("DROP INDEX area_name; ALTER TABLE %[1]s ADD COLUMN handle TEXT; UPDATE %[1]s SET handle = id; CREATE UNIQUE INDEX area_handle ON %[1]s (handle);", w.Area(version))
	case RenameDiary:
		return "ALTER TABLE diary RENAME TO journal;"
	case RenameBody:
		return "ALTER TABLE " + diary + " RENAME COLUMN body TO content;"
	case AddMood:
		script := "ALTER TABLE " + diary + " ADD COLUMN mood INT;"
		if fill {
			script += "UPDATE " + diary + " SET mood = length(" + body + ");"
		}
		return script
	case RebuildDiary:
		columns, more := key+", "+body+", slug", ""
		if w.Has(version, AddMood) {
			columns, more = columns+", mood", ", mood INT"
		}
		return rebuild(diary, "CREATE TABLE "+diary+"_new ("+key+" TEXT PRIMARY KEY NOT NULL, "+body+" TEXT, slug TEXT UNIQUE"+more+");", columns)
	case RenameKey:
		return "ALTER TABLE " + diary + " RENAME COLUMN id TO page;"
	case RebuildNote:
		return rebuild("note", "CREATE TABLE note_new (id INTEGER PRIMARY KEY, task TEXT NOT NULL DEFAULT 't1' REFERENCES task"+w.onDelete("note.task")+
			", body TEXT, extra TEXT DEFAULT 'e');", "id, task, body") + noteTriggers + "INSERT INTO note_fts (note_fts) VALUES ('rebuild');"
	case ChangeIndexes:
		return "DROP INDEX IF EXISTS note_task; CREATE INDEX tag_name ON tag (name); CREATE UNIQUE INDEX task_slug ON task (id, slug);"
	case RenameAndRebuildArea:
		columns, more, index := "id, name", "", "CREATE UNIQUE INDEX area_name ON region (name);"
		if !w.Has(version, DropMemo) {
			columns, more = columns+", memo", ", memo"
		}
		if w.Has(version, ChangeUniqueIndex) {
			columns, more, index = columns+", handle", more+", handle TEXT", "CREATE UNIQUE INDEX area_handle ON region (handle);"
		}
		return "ALTER TABLE area RENAME TO region;" + rebuild("region", "CREATE TABLE region_new (id TEXT PRIMARY KEY NOT NULL, name TEXT"+more+");", columns) + index
	case DropMemo:
		return "ALTER TABLE " + w.Area(version) + " DROP COLUMN memo;"
	}
	panic(m)
}

// rebuild returns how a table is made anew: create makes one of its name and _new.
func rebuild(table, create, columns string) string {
	return strings.NewReplacer("@", table, "#", columns).Replace(create +
		"INSERT INTO @_new (#) SELECT # FROM @; DROP TABLE @; ALTER TABLE @_new RENAME TO @;")
}
