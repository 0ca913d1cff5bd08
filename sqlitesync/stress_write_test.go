package sqlitesync

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sqlitesync/go/sqlitesync/internal/workload"
)

// write runs a statement, sometimes from another program. That one has recursive
// triggers off, so it leaves rows alone whose removal the app's triggers follow.
func (run *stressRun) write(d *stressDevice) {
	statement := run.Statement(d.version)
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
		run.try(d, tx.Exec, run.Statement(d.version))
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

// ahead reports whether any of these migrations is among those of the run.
func (run *stressRun) ahead(migrations ...workload.Migration) bool {
	return slices.ContainsFunc(migrations, func(m workload.Migration) bool { return slices.Contains(run.Migrations, m) })
}

// keepDiary lets a device write to its own pages of the diary, which nothing may
// get lost of.
func (run *stressRun) keepDiary(d *stressDevice) {
	own := slices.Sorted(maps.Keys(d.diary))
	kind := run.IntN(8)
	// What is written without being noted is found later, and no newer than what migrations of other devices say of the same
	// rows; what is deleted so comes back if the table is made anew.
	unnoted := d.left && run.ahead(workload.RebuildDiary) || (d.left || d.rebuilt) && run.ahead(workload.RenameDiary, workload.RenameBody, workload.RenameKey, workload.AddMood)
	if len(own) == 0 || unnoted || d.behind > 0 {
		kind = 0
	}
	exec := d.db.Exec
	if run.IntN(4) == 0 {
		exec = d.other.Exec
	}
	write := func(statement string, args ...any) {
		statement = strings.NewReplacer("DIARY", run.Diary(d.version), "ID", run.Key(d.version), "BODY", run.Body(d.version)).Replace(statement)
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
