package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

const (
	dayFormat  = "2006-01-02"
	habitDays  = 14 // how many are shown of each habit
	numberDays = 30 // how many are shown of each number
	notesShown = 12
)

// A kind is a number that a person notes each day.
type kind struct {
	ID, Name, Unit string
	Min, Max, Step float64
}

var kinds = []kind{
	{"sleep", "Sleep", "hours", 0, 24, 0.25},
	{"steps", "Steps", "today", 0, 100000, 1},
	{"mood", "Mood", "of 5", 1, 5, 1},
}

type habit struct {
	ID, Name string
	Days     []day // the oldest first; the last one is today
	Streak   int   // days in a row, up to today or yesterday
}

type day struct {
	Date  time.Time
	Done  bool
	Today bool
}

type number struct {
	kind
	Today string // what was noted today, or ""
	Days  []point
}

// A point is what was noted on a day; Known is false if nothing was.
type point struct {
	Value float64
	Known bool
}

type note struct {
	ID, Text string
	Written  time.Time
}

// habits reads the habits and what was done of them up to today.
func habits(ctx context.Context, db *sql.DB, today time.Time) ([]habit, error) {
	rows, err := db.QueryContext(ctx, "SELECT id, name FROM habit ORDER BY created_at, id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []habit
	for rows.Next() {
		var h habit
		if err := rows.Scan(&h.ID, &h.Name); err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i := range all {
		if err := all[i].readDays(ctx, db, today); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (h *habit) readDays(ctx context.Context, db *sql.DB, today time.Time) error {
	rows, err := db.QueryContext(ctx, "SELECT day FROM tick WHERE habit = ?", h.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	done := make(map[string]bool)
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		done[text] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for back := habitDays - 1; back >= 0; back-- {
		date := today.AddDate(0, 0, -back)
		h.Days = append(h.Days, day{Date: date, Done: done[date.Format(dayFormat)], Today: back == 0})
	}
	last := today
	if !done[last.Format(dayFormat)] { // today is not over
		last = last.AddDate(0, 0, -1)
	}
	for done[last.AddDate(0, 0, -h.Streak).Format(dayFormat)] {
		h.Streak++
	}
	return nil
}

// numbers reads what was noted in the last days.
func numbers(ctx context.Context, db *sql.DB, today time.Time) ([]number, error) {
	first := today.AddDate(0, 0, 1-numberDays)
	known := make(map[string]float64)
	rows, err := db.QueryContext(ctx, "SELECT kind, day, value FROM number WHERE day BETWEEN ? AND ?", first.Format(dayFormat), today.Format(dayFormat))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, day string
		var value float64
		if err := rows.Scan(&kind, &day, &value); err != nil {
			return nil, err
		}
		known[kind+" "+day] = value
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	var all []number
	for _, kind := range kinds {
		n := number{kind: kind}
		for i := range numberDays {
			value, ok := known[kind.ID+" "+first.AddDate(0, 0, i).Format(dayFormat)]
			n.Days = append(n.Days, point{value, ok})
		}
		if last := n.Days[numberDays-1]; last.Known {
			n.Today = fmt.Sprint(last.Value)
		}
		all = append(all, n)
	}
	return all, nil
}

func notes(ctx context.Context, db *sql.DB) ([]note, error) {
	rows, err := db.QueryContext(ctx, "SELECT id, text, created_at FROM note ORDER BY created_at DESC, id DESC LIMIT ?", notesShown)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []note
	for rows.Next() {
		var n note
		var written int64
		if err := rows.Scan(&n.ID, &n.Text, &written); err != nil {
			return nil, err
		}
		n.Written = time.UnixMilli(written)
		all = append(all, n)
	}
	return all, rows.Err()
}

func addHabit(ctx context.Context, db *sql.DB, name string, now time.Time) (id string, err error) {
	id = sqlitesync.NewKey()
	_, err = db.ExecContext(ctx, "INSERT INTO habit VALUES (?, ?, ?)", id, name, now.UnixMilli())
	return id, err
}

func addNote(ctx context.Context, db *sql.DB, text string, now time.Time) error {
	_, err := db.ExecContext(ctx, "INSERT INTO note VALUES (?, ?, ?)", sqlitesync.NewKey(), text, now.UnixMilli())
	return err
}

func setTick(ctx context.Context, db *sql.DB, habit, day string, done bool) error {
	statement := "DELETE FROM tick WHERE habit = ? AND day = ?"
	if done {
		statement = "INSERT INTO tick VALUES (?, ?) ON CONFLICT DO NOTHING"
	}
	_, err := db.ExecContext(ctx, statement, habit, day)
	return err
}

func setNumber(ctx context.Context, db *sql.DB, day, kind string, value float64) error {
	_, err := db.ExecContext(ctx, "INSERT INTO number VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", day, kind, value)
	return err
}

func clearNumber(ctx context.Context, db *sql.DB, day, kind string) error {
	_, err := db.ExecContext(ctx, "DELETE FROM number WHERE day = ? AND kind = ?", day, kind)
	return err
}
