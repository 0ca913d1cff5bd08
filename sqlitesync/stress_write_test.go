package sqlitesync

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// write runs a statement, sometimes from another program. That one has recursive
// triggers off, so it leaves rows alone whose removal the app's triggers follow.
func (run *stressRun) write(d *stressDevice) {
	statement := run.statement(d)
	if !strings.Contains(statement, "note") && run.IntN(4) == 0 {
		run.try(d, d.other.Exec, statement)
		return
	}
	run.try(d, d.db.Exec, statement)
}

// try runs a statement that a constraint may refuse.
func (run *stressRun) try(d *stressDevice, exec func(string, ...any) (sql.Result, error), statement string) {
	_, err := exec(statement)
	if err != nil && !strings.Contains(err.Error(), "constraint failed") {
		run.t.Fatalf("device %d: %s: %v", d.n, statement, err)
	}
	run.note(d, "%s -- %v", statement, err)
}

// transaction runs some statements in a transaction, some of them in savepoints.
func (run *stressRun) transaction(d *stressDevice) {
	tx, err := d.db.Begin()
	must(run.t, err)
	run.note(d, "BEGIN")
	for range 1 + run.IntN(5) {
		end := ""
		if run.IntN(4) == 0 {
			_, err := tx.Exec("SAVEPOINT s")
			must(run.t, err)
			end = run.pick("ROLLBACK TO s; RELEASE s", "RELEASE s")
		}
		run.try(d, tx.Exec, run.statement(d))
		if end != "" {
			run.note(d, "%s", end)
			_, err := tx.Exec(end)
			must(run.t, err)
		}
	}
	if run.IntN(4) > 0 {
		err := tx.Commit()
		run.note(d, "COMMIT -- %v", err)
		if err == nil {
			return
		}
		_, _ = d.db.Exec("ROLLBACK") // a deferred constraint has refused it
		return
	}
	run.note(d, "ROLLBACK")
	must(run.t, tx.Rollback())
}

// id returns one of n keys.
func (run *stressRun) id(prefix string, n int) string {
	return fmt.Sprintf("'%s%d'", prefix, run.IntN(n))
}

// idOrNull returns what a foreign key may hold.
func (run *stressRun) idOrNull(prefix string, n int) string {
	if run.IntN(6) == 0 {
		return "NULL"
	}
	return run.id(prefix, n)
}

func (run *stressRun) insert() string {
	return run.pick("INSERT", "INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE", "REPLACE") + " INTO "
}

func (run *stressRun) update() string {
	return run.pick("UPDATE", "UPDATE", "UPDATE OR REPLACE", "UPDATE OR IGNORE") + " "
}

// statement returns a statement that writes to any table but the diary.
func (run *stressRun) statement(d *stressDevice) string {
	switch run.IntN(10) {
	case 0, 1:
		return run.writeArea(run.area(d), !run.has(d, dropMemo))
	case 2, 3:
		return run.writeProject(run.project(d))
	case 4, 5, 6:
		return run.writeTask(run.title(d))
	case 7:
		return run.writeNote()
	case 8:
		return run.writeOthers(d)
	}
	return run.update() + run.pick( // keys
		"task SET id = "+run.id("t", 10)+" WHERE id = "+run.id("t", 10),
		run.project(d)+" SET id = "+run.id("p", 6)+" WHERE id = "+run.id("p", 6),
		run.area(d)+" SET id = "+run.id("a", 6)+" WHERE id = "+run.id("a", 6))
}

func (run *stressRun) writeArea(area string, memo bool) string {
	set := []string{"name = " + run.id("n", 6)}
	if memo {
		set = append(set, fmt.Sprint("memo = ", run.IntN(5)))
	}
	return run.pick(
		run.insert()+area+" (id, name) VALUES ("+run.id("a", 6)+", "+run.id("n", 6)+")",
		run.update()+area+" SET "+run.pick(set...)+" WHERE id = "+run.id("a", 6),
		"DELETE FROM "+area+" WHERE id = "+run.id("a", 6))
}

func (run *stressRun) writeProject(project string) string {
	area, code, boss := run.idOrNull("a", 6), fmt.Sprint(run.IntN(8)), run.idOrNull("t", 10)
	return run.pick(
		run.insert()+project+" (id, area, code, boss) VALUES ("+run.id("p", 6)+", "+area+", "+code+", "+boss+")",
		run.insert()+project+" (id, area, code, boss) VALUES ("+run.id("p", 6)+", "+area+", "+code+", "+boss+")",
		run.update()+project+" SET "+run.pick("area = "+area, "code = "+code, "boss = "+boss)+" WHERE id = "+run.id("p", 6),
		"DELETE FROM "+project+" WHERE id = "+run.id("p", 6))
}

func (run *stressRun) writeTask(title string) string {
	text, project, up, slug, code := fmt.Sprintf("'x%d'", run.IntN(1000)), run.idOrNull("p", 6), run.idOrNull("t", 10), run.id("s", 12), fmt.Sprint(run.IntN(8))
	row := "task (id, " + title + ", project, up, slug, code) VALUES (" + run.id("t", 10) + ", " + text + ", " + project + ", " + up + ", " + slug + ", " + run.pick(code, "NULL") + ")"
	return run.pick(
		run.insert()+row,
		run.insert()+row,
		"INSERT INTO "+row+" ON CONFLICT (id) DO UPDATE SET "+title+" = excluded."+title+", up = excluded.up",
		run.update()+"task SET "+run.pick(title+" = "+text, "project = "+project, "up = "+up, "slug = "+slug, "code = "+code)+
			" WHERE id "+run.pick("=", "=", ">=")+" "+run.id("t", 10),
		"DELETE FROM task WHERE id = "+run.id("t", 10))
}

func (run *stressRun) writeNote() string {
	note, task, word := fmt.Sprint(1+run.IntN(15)), run.id("t", 10), fmt.Sprintf("'word%d and'", run.IntN(1000))
	return run.pick(
		run.insert()+"note (id, task, body) VALUES ("+note+", "+task+", "+word+"), ("+fmt.Sprint(1+run.IntN(15))+", "+run.id("t", 10)+", 'wörd')",
		"UPDATE note SET body = body || "+word+" WHERE id % 3 = "+fmt.Sprint(run.IntN(3)),
		"UPDATE note SET task = "+task+" WHERE id = "+note,
		"DELETE FROM note WHERE id = "+note)
}

func (run *stressRun) writeOthers(d *stressDevice) string {
	v := fmt.Sprint(run.IntN(1000))
	return run.pick(
		run.insert()+"tag (task, name, v) SELECT id, '"+run.pick("red", "RED", "Blue", "blue")+"', "+v+" FROM task WHERE id <> "+run.id("t", 10),
		"DELETE FROM tag WHERE name = 'RED'",
		"UPDATE tag SET v = v + 1",
		"UPDATE OR REPLACE tag SET name = 'blue' WHERE task = "+run.id("t", 10),
		run.insert()+"entry (id, diary, v) SELECT "+run.id("e", 20)+", max("+run.key(d)+"), "+v+" FROM "+run.table(d)+" WHERE slug < "+run.id("", 4)+" || '-4'",
		"INSERT INTO pin (task, project) SELECT task.id, p.id FROM task, "+run.project(d)+" p WHERE task.id > "+run.id("t", 10)+" ORDER BY 1, 2 LIMIT 2")
}

// ahead reports whether any of these migrations is among those of the run.
func (run *stressRun) ahead(migrations ...stressMigration) bool {
	return slices.ContainsFunc(migrations, func(m stressMigration) bool { return slices.Contains(run.migrations, m) })
}

// keepDiary lets a device write to its own pages of the diary, which nothing may
// get lost of.
func (run *stressRun) keepDiary(d *stressDevice) {
	own := slices.Sorted(maps.Keys(d.diary))
	kind := run.IntN(8)
	// What is written without being noted is found later, and no newer than what migrations of other devices say of the same
	// rows; what is deleted so comes back if the table is made anew.
	unnoted := d.left && run.ahead(rebuildDiary) || (d.left || d.rebuilt) && run.ahead(renameDiary, renameBody, renameKey, addMood)
	if len(own) == 0 || unnoted || d.behind > 0 {
		kind = 0
	}
	exec := d.db.Exec
	if run.IntN(4) == 0 {
		exec = d.other.Exec
	}
	write := func(statement string, args ...any) {
		statement = strings.NewReplacer("DIARY", run.table(d), "ID", run.key(d), "BODY", run.body(d)).Replace(statement)
		run.note(d, "%s %q", statement, args)
		if _, err := exec(statement, args...); err != nil {
			run.t.Fatalf("device %d: %s: %v", d.n, statement, err)
		}
	}
	body := fmt.Sprint("v", run.IntN(100000))
	switch kind {
	case 0, 1:
		id := fmt.Sprintf("%d-%d", d.n, d.made)
		d.made++
		write("INSERT INTO DIARY (ID, BODY, slug) VALUES (?, ?, ?)", id, body, id)
		d.diary[id], d.unsent[id] = stressPage{body, id}, true
		return
	case 2: // all at once
		for _, id := range own {
			body := fmt.Sprint("w", run.IntN(100000))
			write("INSERT INTO DIARY (ID, BODY, slug) VALUES (?, ?, ?) ON CONFLICT (ID) DO UPDATE SET BODY = excluded.BODY", id, body, d.diary[id].slug)
			d.diary[id] = stressPage{body, d.diary[id].slug}
		}
		return
	}
	id, two := own[run.IntN(len(own))], own[run.IntN(len(own))]
	switch page := d.diary[id]; {
	case kind < 5:
		write("UPDATE DIARY SET BODY = ? WHERE ID = ?", body, id)
		d.diary[id] = stressPage{body, page.slug}
	case kind == 5 && two != id: // two pages exchange their slugs
		write("BEGIN; UPDATE DIARY SET slug = ?1 WHERE ID = ?2; UPDATE DIARY SET slug = ?4 WHERE ID = ?3; UPDATE DIARY SET slug = ?5 WHERE ID = ?2; COMMIT",
			"free", id, two, page.slug, d.diary[two].slug)
		d.diary[id], d.diary[two] = stressPage{page.body, d.diary[two].slug}, stressPage{d.diary[two].body, page.slug}
	case d.rebuilt, kind > 5 && d.backup != nil && d.backup.unsent[id]:
	case kind == 6:
		write("DELETE FROM DIARY WHERE ID = ?", id)
		delete(d.diary, id)
	case kind == 7: // a new page takes the place of one that has its slug
		other := fmt.Sprintf("%d-%d", d.n, d.made)
		d.made++
		write("REPLACE INTO DIARY (ID, BODY, slug) VALUES (?, ?, ?)", other, body, page.slug)
		delete(d.diary, id)
		d.diary[other], d.unsent[other] = stressPage{body, page.slug}, true
	}
}
