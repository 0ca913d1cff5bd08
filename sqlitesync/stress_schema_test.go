package sqlitesync

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// stressMigration is one change of the schema of TestStress.
type stressMigration int

const (
	fillPriority stressMigration = iota
	renameTitle
	renameProject
	rebuildTask
	changeUniqueIndex
	renameDiary
	renameBody
	addMood
	rebuildDiary
	renameKey
	rebuildNote
	changeIndexes
	renameAndRebuildArea
	dropMemo
	stressMigrations // how many there are
)

// stressLocal holds the tables that never take part.
var stressLocal = []string{"pin", "pinlog"}

const noteTriggers = `
	CREATE TRIGGER note_insert AFTER INSERT ON note BEGIN INSERT INTO note_fts (rowid, body) VALUES (new.id, new.body); END;
	CREATE TRIGGER note_delete AFTER DELETE ON note BEGIN INSERT INTO note_fts (note_fts, rowid, body) VALUES ('delete', old.id, old.body); END;
	CREATE TRIGGER note_update AFTER UPDATE ON note BEGIN
		INSERT INTO note_fts (note_fts, rowid, body) VALUES ('delete', old.id, old.body); INSERT INTO note_fts (rowid, body) VALUES (new.id, new.body);
	END;`

// choose decides about foreign keys and migrations.
func (run *stressRun) choose() {
	run.actions = make(map[string]string)
	for _, column := range []string{"project.area", "project.boss", "task.project", "task.up", "task.code", "note.task", "pin.task"} {
		run.actions[column] = run.pick("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")
	}
	if run.actions["note.task"] == "SET NULL" { // it is NOT NULL
		run.actions["note.task"] = "CASCADE"
	}
	run.actions["entry.diary"] = run.pick("CASCADE", "SET NULL")
	for m := range stressMigrations {
		run.migrations = append(run.migrations, m)
	}
	run.Shuffle(len(run.migrations), func(i, j int) { run.migrations[i], run.migrations[j] = run.migrations[j], run.migrations[i] })
	run.migrations = run.migrations[:run.IntN(len(run.migrations)+1)]
}

// onDelete returns what follows the parent in a foreign key.
func (run *stressRun) onDelete(column string) string { return " ON DELETE " + run.actions[column] }

func (run *stressRun) schema() string {
	return `CREATE TABLE area (id TEXT PRIMARY KEY NOT NULL, name TEXT, memo);
	CREATE UNIQUE INDEX area_name ON area (name);
	CREATE TABLE project (id TEXT PRIMARY KEY NOT NULL, area TEXT DEFAULT 'a1' REFERENCES area` + run.onDelete("project.area") + ` ON UPDATE CASCADE,
		code INT UNIQUE, boss TEXT DEFAULT 't1' REFERENCES task` + run.onDelete("project.boss") + `);
	` + run.taskTable("task", "title", "project", "") + `
	CREATE TRIGGER task_touch AFTER UPDATE OF title, project ON task BEGIN UPDATE task SET updated_at = coalesce(old.updated_at, 0) + 1 WHERE id = new.id; END;
	CREATE TABLE note (id INTEGER PRIMARY KEY, task TEXT NOT NULL DEFAULT 't1' REFERENCES task` + run.onDelete("note.task") + `, body TEXT);
	CREATE INDEX note_task ON note (task);
	CREATE VIRTUAL TABLE note_fts USING fts5 (body, content = note, content_rowid = id);
	` + noteTriggers + `
	CREATE TABLE tag (task TEXT NOT NULL REFERENCES task ON DELETE CASCADE ON UPDATE CASCADE, name TEXT NOT NULL COLLATE NOCASE, v,
		PRIMARY KEY (task, name)) WITHOUT ROWID;
	CREATE TABLE diary (id TEXT PRIMARY KEY NOT NULL, body TEXT, slug TEXT UNIQUE);
	CREATE TABLE entry (id TEXT PRIMARY KEY NOT NULL, diary TEXT REFERENCES diary` + run.onDelete("entry.diary") + `, v);
	CREATE TABLE pin (id INTEGER PRIMARY KEY, task TEXT REFERENCES task` + run.onDelete("pin.task") + ` DEFERRABLE INITIALLY DEFERRED,
		project TEXT REFERENCES project ON DELETE CASCADE);
	CREATE TABLE pinlog (id INTEGER PRIMARY KEY, task);
	CREATE TRIGGER pin_delete AFTER DELETE ON pin BEGIN INSERT INTO pinlog (task) VALUES (old.task); END;`
}

func (run *stressRun) taskTable(name, title, project, more string) string {
	return "CREATE TABLE " + name + " (id TEXT PRIMARY KEY NOT NULL, " + title + " TEXT, project TEXT DEFAULT 'p1' REFERENCES " + project +
		run.onDelete("task.project") + " ON UPDATE CASCADE, up TEXT DEFAULT 't1' REFERENCES task" + run.onDelete("task.up") +
		", slug TEXT UNIQUE, code INT DEFAULT 1 REFERENCES " + project + " (code)" + run.onDelete("task.code") + ", updated_at INT" + more + ");"
}

// What tables and columns are called depends on how far the device has come.

func (run *stressRun) has(d *stressDevice, m stressMigration) bool {
	return slices.Contains(run.migrations[:d.version], m)
}

func (run *stressRun) named(d *stressDevice, m stressMigration, before, after string) string {
	if run.has(d, m) {
		return after
	}
	return before
}

func (run *stressRun) area(d *stressDevice) string {
	return run.named(d, renameAndRebuildArea, "area", "region")
}
func (run *stressRun) project(d *stressDevice) string {
	return run.named(d, renameProject, "project", "plan")
}
func (run *stressRun) title(d *stressDevice) string {
	return run.named(d, renameTitle, "title", "subject")
}
func (run *stressRun) table(d *stressDevice) string {
	return run.named(d, renameDiary, "diary", "journal")
}
func (run *stressRun) body(d *stressDevice) string {
	return run.named(d, renameBody, "body", "content")
}
func (run *stressRun) key(d *stressDevice) string { return run.named(d, renameKey, "id", "page") }

// migrate runs the next migration of a device, with Migrate or without. Without,
// it does not fill columns of the diary: that would be an edit like any other.
func (run *stressRun) migrate(d *stressDevice) {
	m := run.migrations[d.version]
	if m == renameDiary || m == renameKey {
		run.include(d)
	}
	wrapped := run.IntN(2) == 0
	script := run.migration(d, m, wrapped)
	run.note(d, "Migrate %t: %s", wrapped, script)
	if wrapped {
		must(run.t, d.syncer.Migrate(run.t.Context(), func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "BEGIN IMMEDIATE; "+script+"COMMIT")
			return err
		}))
	} else {
		run.alone(d, "BEGIN IMMEDIATE; "+script+"COMMIT")
		d.rebuilt = d.rebuilt || m == rebuildDiary
	}
	d.version++
}

// alone runs a script with foreign keys off.
func (run *stressRun) alone(d *stressDevice, script string) {
	d.exec("PRAGMA foreign_keys = 0; " + script + fmt.Sprintf("; PRAGMA foreign_keys = %t", d.enforced))
}

// migration returns the statements of a migration.
func (run *stressRun) migration(d *stressDevice, m stressMigration, fill bool) string {
	diary, body, key := run.table(d), run.body(d), run.key(d)
	switch m {
	case fillPriority:
		return "ALTER TABLE task ADD COLUMN prio INT DEFAULT 3; UPDATE task SET prio = length(" + run.title(d) + ");"
	case renameTitle:
		return "ALTER TABLE task RENAME COLUMN title TO subject;"
	case renameProject:
		return "ALTER TABLE project RENAME TO plan;"
	case rebuildTask:
		columns, more := "id, "+run.title(d)+", project, up, slug, code, updated_at", ""
		if run.has(d, fillPriority) {
			columns, more = columns+", prio", ", prio INT DEFAULT 3"
		}
		return rebuild("task", run.taskTable("task_new", run.title(d), run.project(d), more), columns) + run.triggers(d, "task")
	case changeUniqueIndex:
		return fmt.Sprintf("DROP INDEX area_name; ALTER TABLE %[1]s ADD COLUMN handle TEXT; UPDATE %[1]s SET handle = id; CREATE UNIQUE INDEX area_handle ON %[1]s (handle);", run.area(d))
	case renameDiary:
		return "ALTER TABLE diary RENAME TO journal;"
	case renameBody:
		return "ALTER TABLE " + diary + " RENAME COLUMN body TO content;"
	case addMood:
		script := "ALTER TABLE " + diary + " ADD COLUMN mood INT;"
		if fill {
			script += "UPDATE " + diary + " SET mood = length(" + body + ");"
		}
		return script
	case rebuildDiary:
		columns, more := key+", "+body+", slug", ""
		if run.has(d, addMood) {
			columns, more = columns+", mood", ", mood INT"
		}
		return rebuild(diary, "CREATE TABLE "+diary+"_new ("+key+" TEXT PRIMARY KEY NOT NULL, "+body+" TEXT, slug TEXT UNIQUE"+more+");", columns)
	case renameKey:
		return "ALTER TABLE " + diary + " RENAME COLUMN id TO page;"
	case rebuildNote:
		return rebuild("note", "CREATE TABLE note_new (id INTEGER PRIMARY KEY, task TEXT NOT NULL DEFAULT 't1' REFERENCES task"+run.onDelete("note.task")+
			", body TEXT, extra TEXT DEFAULT 'e');", "id, task, body") + noteTriggers + "INSERT INTO note_fts (note_fts) VALUES ('rebuild');"
	case changeIndexes:
		return "DROP INDEX IF EXISTS note_task; CREATE INDEX tag_name ON tag (name); CREATE UNIQUE INDEX task_slug ON task (id, slug);"
	case renameAndRebuildArea:
		columns, more, index := "id, name", "", "CREATE UNIQUE INDEX area_name ON region (name);"
		if !run.has(d, dropMemo) {
			columns, more = columns+", memo", ", memo"
		}
		if run.has(d, changeUniqueIndex) {
			columns, more, index = columns+", handle", more+", handle TEXT", "CREATE UNIQUE INDEX area_handle ON region (handle);"
		}
		return "ALTER TABLE area RENAME TO region;" + rebuild("region", "CREATE TABLE region_new (id TEXT PRIMARY KEY NOT NULL, name TEXT"+more+");", columns) + index
	case dropMemo:
		return "ALTER TABLE " + run.area(d) + " DROP COLUMN memo;"
	}
	panic(m)
}

// rebuild returns how a table is made anew: create makes one of its name and _new.
func rebuild(table, create, columns string) string {
	return strings.NewReplacer("@", table, "#", columns).Replace(create +
		"INSERT INTO @_new (#) SELECT # FROM @; DROP TABLE @; ALTER TABLE @_new RENAME TO @;")
}

// triggers returns the text of the app's triggers on a table.
func (run *stressRun) triggers(d *stressDevice, table string) string {
	return d.value("SELECT coalesce(group_concat(sql, '; '), '') FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? AND name NOT GLOB 'sqlitesync_*'", table) + ";"
}
