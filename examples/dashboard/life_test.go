package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)

func TestStreak(t *testing.T) {
	db, err := sqlitesync.OpenDB(filepath.Join(t.TempDir(), "life.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	_, err = db.Exec(schema)
	must(t, err)
	for name, test := range map[string]struct {
		back []int // days before today
		want int
	}{
		"never":                   {nil, 0},
		"today":                   {[]int{0}, 1},
		"yesterday":               {[]int{1}, 1},
		"the day before":          {[]int{2}, 0},
		"three, over February":    {[]int{0, 1, 2}, 3},
		"three up to yesterday":   {[]int{1, 2, 3}, 3},
		"a gap ends it":           {[]int{0, 1, 3, 4}, 2},
		"longer than what shows":  {[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 16},
		"tomorrow does not count": {[]int{-1, 0}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := addHabit(t.Context(), db, name, noon)
			must(t, err)
			for _, back := range test.back {
				must(t, setTick(t.Context(), db, id, noon.AddDate(0, 0, -back).Format(dayFormat), true))
			}
			all, err := habits(t.Context(), db, noon)
			must(t, err)
			last := all[len(all)-1]
			for _, h := range all {
				if h.ID == id {
					last = h
				}
			}
			if last.Streak != test.want {
				t.Errorf("%d days, want %d", last.Streak, test.want)
			}
			if len(last.Days) != habitDays || !last.Days[habitDays-1].Today || last.Days[0].Date.Format(dayFormat) != "2026-02-16" {
				t.Errorf("the days are %v", last.Days)
			}
		})
	}
}

func TestCurve(t *testing.T) {
	days := func(values ...float64) (n number) {
		n.Days = make([]point, numberDays)
		for i, v := range values {
			n.Days[numberDays-len(values)+i] = point{v, v >= 0}
		}
		return n
	}
	for name, test := range map[string]struct {
		n              number
		curve, summary string
	}{
		"nothing": {days(), "", "nothing noted yet"},
		"one":     {days(5), "M234.0 28.0h0.1", "5 on average, from 5 to 5"},
		"two":     {days(0, 10), "M226.1 50.0h0.1L234.0 6.0", "5 on average, from 0 to 10"},
		"a gap":   {days(0, -1, 10), "M218.3 50.0h0.1M234.0 6.0h0.1", "5 on average, from 0 to 10"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.n.Curve(); got != test.curve {
				t.Errorf("the curve is %q, want %q", got, test.curve)
			}
			if got := test.n.Summary(); got != test.summary {
				t.Errorf("the summary is %q, want %q", got, test.summary)
			}
			if dot := test.n.Dot(); (dot != nil) != test.n.Days[numberDays-1].Known {
				t.Errorf("the dot is %v", dot)
			}
		})
	}
}
