package workload

import (
	"fmt"
)

// id returns one of n keys.
func (w *Workload) id(prefix string, n int) string {
	return fmt.Sprintf("'%s%d'", prefix, w.IntN(n))
}

// idOrNull returns what a foreign key may hold.
func (w *Workload) idOrNull(prefix string, n int) string {
	if w.IntN(6) == 0 {
		return "NULL"
	}
	return w.id(prefix, n)
}

func (w *Workload) insert() string {
	return w.pick("INSERT", "INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE", "REPLACE") + " INTO "
}

func (w *Workload) update() string {
	return w.pick("UPDATE", "UPDATE", "UPDATE OR REPLACE", "UPDATE OR IGNORE") + " "
}

// Statement returns a statement that writes to any table but the diary. A constraint may refuse it.
func (w *Workload) Statement(version int) string {
	switch w.IntN(10) {
	case 0, 1:
		return w.writeArea(w.Area(version), !w.Has(version, DropMemo))
	case 2, 3:
		return w.writeProject(w.Project(version))
	case 4, 5, 6:
		return w.writeTask(w.title(version))
	case 7:
		return w.writeNote()
	case 8:
		return w.writeOthers(version)
	}
	return w.update() + w.pick( // keys
		"task SET id = "+w.id("t", 10)+" WHERE id = "+w.id("t", 10),
		w.Project(version)+" SET id = "+w.id("p", 6)+" WHERE id = "+w.id("p", 6),
		w.Area(version)+" SET id = "+w.id("a", 6)+" WHERE id = "+w.id("a", 6))
}

func (w *Workload) writeArea(area string, memo bool) string {
	set := []string{"name = " + w.id("n", 6)}
	if memo {
		set = append(set, fmt.Sprint("memo = ", w.IntN(5)))
	}
	return w.pick(
		w.insert()+area+" (id, name) VALUES ("+w.id("a", 6)+", "+w.id("n", 6)+")",
		w.update()+area+" SET "+w.pick(set...)+" WHERE id = "+w.id("a", 6),
		"DELETE FROM "+area+" WHERE id = "+w.id("a", 6))
}

func (w *Workload) writeProject(project string) string {
	area, code, boss := w.idOrNull("a", 6), fmt.Sprint(w.IntN(8)), w.idOrNull("t", 10)
	return w.pick(
		w.insert()+project+" (id, area, code, boss) VALUES ("+w.id("p", 6)+", "+area+", "+code+", "+boss+")",
		w.insert()+project+" (id, area, code, boss) VALUES ("+w.id("p", 6)+", "+area+", "+code+", "+boss+")",
		w.update()+project+" SET "+w.pick("area = "+area, "code = "+code, "boss = "+boss)+" WHERE id = "+w.id("p", 6),
		"DELETE FROM "+project+" WHERE id = "+w.id("p", 6))
}

func (w *Workload) writeTask(title string) string {
	text, project, up, slug, code := fmt.Sprintf("'x%d'", w.IntN(1000)), w.idOrNull("p", 6), w.idOrNull("t", 10), w.id("s", 12), fmt.Sprint(w.IntN(8))
	row := "task (id, " + title + ", project, up, slug, code) VALUES (" + w.id("t", 10) + ", " + text + ", " + project + ", " + up + ", " + slug + ", " + w.pick(code, "NULL") + ")"
	return w.pick(
		w.insert()+row,
		w.insert()+row,
		"INSERT INTO "+row+" ON CONFLICT (id) DO UPDATE SET "+title+" = excluded."+title+", up = excluded.up",
		w.update()+"task SET "+w.pick(title+" = "+text, "project = "+project, "up = "+up, "slug = "+slug, "code = "+code)+
			" WHERE id "+w.pick("=", "=", ">=")+" "+w.id("t", 10),
		"DELETE FROM task WHERE id = "+w.id("t", 10))
}

func (w *Workload) writeNote() string {
	note, task, word := fmt.Sprint(1+w.IntN(15)), w.id("t", 10), fmt.Sprintf("'word%d and'", w.IntN(1000))
	return w.pick(
		w.insert()+"note (id, task, body) VALUES ("+note+", "+task+", "+word+"), ("+fmt.Sprint(1+w.IntN(15))+", "+w.id("t", 10)+", 'wörd')",
		"UPDATE note SET body = body || "+word+" WHERE id % 3 = "+fmt.Sprint(w.IntN(3)),
		"UPDATE note SET task = "+task+" WHERE id = "+note,
		"DELETE FROM note WHERE id = "+note)
}

func (w *Workload) writeOthers(version int) string {
	v := fmt.Sprint(w.IntN(1000))
	return w.pick(
		w.insert()+"tag (task, name, v) SELECT id, '"+w.pick("red", "RED", "Blue", "blue")+"', "+v+" FROM task WHERE id <> "+w.id("t", 10),
		"DELETE FROM tag WHERE name = 'RED'",
		"UPDATE tag SET v = v + 1",
		"UPDATE OR REPLACE tag SET name = 'blue' WHERE task = "+w.id("t", 10),
		w.insert()+"entry (id, diary, v) SELECT "+w.id("e", 20)+", max("+w.Key(version)+"), "+v+" FROM "+w.Diary(version)+" WHERE slug < "+w.id("", 4)+" || '-4'",
		"INSERT INTO pin (task, project) SELECT task.id, p.id FROM task, "+w.Project(version)+" p WHERE task.id > "+w.id("t", 10)+" ORDER BY 1, 2 LIMIT 2")
}
