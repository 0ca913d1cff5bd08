package workload

import (
	"math/rand/v2"
)

// Local holds the tables that are never synced.
var Local = []string{"pin", "pinlog"}

const noteTriggers = `
	CREATE TRIGGER note_insert AFTER INSERT ON note BEGIN INSERT INTO note_fts (rowid, body) VALUES (new.id, new.body); END;
	CREATE TRIGGER note_delete AFTER DELETE ON note BEGIN INSERT INTO note_fts (note_fts, rowid, body) VALUES ('delete', old.id, old.body); END;
	CREATE TRIGGER note_update AFTER UPDATE ON note BEGIN
		INSERT INTO note_fts (note_fts, rowid, body) VALUES ('delete', old.id, old.body); INSERT INTO note_fts (rowid, body) VALUES (new.id, new.body);
	END;`

// A Workload is an app, with all versions of its schema. Version n is the schema after the first n of its Migrations.
type Workload struct {
	*rand.Rand
	Migrations []Migration       // devices run them in this order
	actions    map[string]string // of the foreign keys, by table and column
}

// New chooses foreign keys and migrations.
func New(random *rand.Rand) *Workload {
	w := &Workload{Rand: random, actions: make(map[string]string)}
	for _, column := range []string{"project.area", "project.boss", "task.project", "task.up", "task.code", "note.task", "pin.task"} {
		w.actions[column] = w.pick("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")
	}
	if w.actions["note.task"] == "SET NULL" { // it is NOT NULL
		w.actions["note.task"] = "CASCADE"
	}
	w.actions["entry.diary"] = w.pick("CASCADE", "SET NULL")
	for m := range numMigrations {
		w.Migrations = append(w.Migrations, m)
	}
	w.Shuffle(len(w.Migrations), func(i, j int) { w.Migrations[i], w.Migrations[j] = w.Migrations[j], w.Migrations[i] })
	w.Migrations = w.Migrations[:w.IntN(len(w.Migrations)+1)]
	return w
}

func (w *Workload) pick(choices ...string) string { return choices[w.IntN(len(choices))] }

// touchTrigger notes how often a task was changed.
func touchTrigger(title string) string {
	return "CREATE TRIGGER task_touch AFTER UPDATE OF " + title + ", project ON task BEGIN UPDATE task SET updated_at = coalesce(old.updated_at, 0) + 1 WHERE id = new.id; END;"
}

// onDelete returns what follows the parent in a foreign key.
func (w *Workload) onDelete(column string) string { return " ON DELETE " + w.actions[column] }

// Schema returns the statements that make version 0.
func (w *Workload) Schema() string {
	return `CREATE TABLE area (id TEXT PRIMARY KEY NOT NULL, name TEXT, memo);
	CREATE UNIQUE INDEX area_name ON area (name);
	CREATE TABLE project (id TEXT PRIMARY KEY NOT NULL, area TEXT DEFAULT 'a1' REFERENCES area` + w.onDelete("project.area") + ` ON UPDATE CASCADE,
		code INT UNIQUE, boss TEXT DEFAULT 't1' REFERENCES task` + w.onDelete("project.boss") + `);
	` + w.taskTable("task", "title", "project", "") + `
	` + touchTrigger("title") + `
	CREATE TABLE note (id INTEGER PRIMARY KEY, task TEXT NOT NULL DEFAULT 't1' REFERENCES task` + w.onDelete("note.task") + `, body TEXT);
	CREATE INDEX note_task ON note (task);
	CREATE VIRTUAL TABLE note_fts USING fts5 (body, content = note, content_rowid = id);
	` + noteTriggers + `
	CREATE TABLE tag (task TEXT NOT NULL REFERENCES task ON DELETE CASCADE ON UPDATE CASCADE, name TEXT NOT NULL COLLATE NOCASE, v,
		PRIMARY KEY (task, name)) WITHOUT ROWID;
	CREATE TABLE diary (id TEXT PRIMARY KEY NOT NULL, body TEXT, slug TEXT UNIQUE);
	CREATE TABLE entry (id TEXT PRIMARY KEY NOT NULL, diary TEXT REFERENCES diary` + w.onDelete("entry.diary") + `, v);
	CREATE TABLE pin (id INTEGER PRIMARY KEY, task TEXT REFERENCES task` + w.onDelete("pin.task") + ` DEFERRABLE INITIALLY DEFERRED,
		project TEXT REFERENCES project ON DELETE CASCADE);
	CREATE TABLE pinlog (id INTEGER PRIMARY KEY, task);
	CREATE TRIGGER pin_delete AFTER DELETE ON pin BEGIN INSERT INTO pinlog (task) VALUES (old.task); END;`
}

func (w *Workload) taskTable(name, title, project, more string) string {
	return "CREATE TABLE " + name + " (id TEXT PRIMARY KEY NOT NULL, " + title + " TEXT, project TEXT DEFAULT 'p1' REFERENCES " + project +
		w.onDelete("task.project") + " ON UPDATE CASCADE, up TEXT DEFAULT 't1' REFERENCES task" + w.onDelete("task.up") +
		", slug TEXT UNIQUE, code INT DEFAULT 1 REFERENCES " + project + " (code)" + w.onDelete("task.code") + ", updated_at INT" + more + ");"
}
