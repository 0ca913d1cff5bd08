package main

import (
	"context"
	"database/sql"
	"math"
	"time"
)

// fill writes a month of a life that somebody might have.
func fill(ctx context.Context, db *sql.DB, now time.Time) error {
	for h, name := range []string{"Read", "Go for a walk", "Call a friend", "No screens after ten"} {
		id, err := addHabit(ctx, db, name, now.AddDate(0, -2, h))
		if err != nil {
			return err
		}
		for back := range 40 {
			if back == 0 && h != 1 || (back*7+h*5)%(h+3) == 1 {
				continue
			}
			if err := setTick(ctx, db, id, now.AddDate(0, 0, -back).Format(dayFormat), true); err != nil {
				return err
			}
		}
	}
	for back := range numberDays {
		day := now.AddDate(0, 0, -back).Format(dayFormat)
		wave := math.Sin(float64(back)/3.1) + math.Sin(float64(back)/1.7)/2
		values := map[string]float64{"sleep": math.Round((7.2+wave*0.8)*4) / 4}
		if back > 0 {
			values["steps"] = math.Round(8200 + wave*2900)
		}
		if back > 0 && back%9 != 4 {
			values["mood"] = math.Round(3.6 + wave*0.9)
		}
		for kind, value := range values {
			if err := setNumber(ctx, db, day, kind, value); err != nil {
				return err
			}
		}
	}
	for i, text := range []string{
		"Started the long book at last.",
		"The bakery at the corner closes in March. Go there more often.",
		"Called Grandmother. She wants the photographs of the garden.",
		"First frost. The light at four o'clock was all gold.",
	} {
		if err := addNote(ctx, db, text, now.AddDate(0, 0, i*2-8).Add(-time.Duration(i)*97*time.Minute)); err != nil {
			return err
		}
	}
	return nil
}
