package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

// view is all that the page shows.
type view struct {
	Device  string // this one's name
	Today   time.Time
	Days    []day // the columns of the habits
	Habits  []habit
	Numbers []number
	Notes   []note

	State     string
	Problem   string
	Members   []sqlitesync.Device
	Invite    *sqlitesync.Invite
	Folder    string
	Conflicts []conflictView
}

type conflictView struct {
	ID               sqlitesync.ConflictID
	About, Won, Lost string
}

// look reads what the page shows at a moment.
func (s *server) look(ctx context.Context, now time.Time) (*view, error) {
	v := &view{Today: now, Folder: s.folder}
	for back := habitDays - 1; back >= 0; back-- {
		v.Days = append(v.Days, day{Date: now.AddDate(0, 0, -back), Today: back == 0})
	}
	var err error
	if v.Habits, err = habits(ctx, s.db, now); err != nil {
		return nil, err
	}
	if v.Numbers, err = numbers(ctx, s.db, now); err != nil {
		return nil, err
	}
	if v.Notes, err = notes(ctx, s.db); err != nil {
		return nil, err
	}
	return v, s.lookAtSync(ctx, v)
}

func (s *server) lookAtSync(ctx context.Context, v *view) error {
	status := s.sync.Status()
	switch {
	case status.Pending > 0:
		v.State = "What you wrote last goes out in a moment."
	case status.LastApplied.IsZero():
		v.State = "All that you wrote is in the folder."
	default:
		v.State = "All that you wrote is in the folder. The last news came in at " + status.LastApplied.Format("15:04:05") + "."
	}
	if status.Err != nil {
		v.Problem = status.Err.Error()
		if known := (*sqlitesync.Error)(nil); errors.As(status.Err, &known) && known.Hint != "" {
			v.Problem = known.Hint
		}
	}
	var err error
	if v.Members, err = s.sync.Devices(ctx); err != nil {
		return err
	}
	for _, member := range v.Members {
		if member.Self {
			v.Device = member.Name
		}
	}
	for conflict, err := range s.sync.Conflicts(ctx) {
		if err != nil {
			return err
		}
		v.Conflicts = append(v.Conflicts, conflictView{conflict.ID, about(conflict), v.describe(conflict.Winner), v.describe(conflict.Loser)})
	}
	return s.lookAtInvite(ctx, v)
}

// lookAtInvite shows the invite that was made here until somebody has used it.
func (s *server) lookAtInvite(ctx context.Context, v *view) error {
	invite := s.invite.Load()
	if invite == nil {
		return nil
	}
	open, err := s.sync.Invites(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(open, func(o sqlitesync.Invite) bool { return o.ID == invite.ID }) {
		v.Invite = invite
	} else {
		s.invite.CompareAndSwap(invite, nil)
	}
	return nil
}

// about says which row a conflict is about, in the words of the page.
func about(conflict sqlitesync.Conflict) string {
	if conflict.Table == "number" && len(conflict.Key) == 2 {
		return fmt.Sprintf("%v on %v", conflict.Key[1], conflict.Key[0])
	}
	return "a " + conflict.Table
}

// describe says what a device wrote.
func (v *view) describe(version sqlitesync.Version) string {
	by := "another device"
	for _, member := range v.Members {
		if member.ID == version.Device {
			by = member.Name
		}
	}
	if version.Deleted {
		return by + " removed it"
	}
	for _, column := range []string{"name", "text", "value"} {
		if value, ok := version.Values[column]; ok {
			return fmt.Sprintf("%s wrote “%v”", by, value)
		}
	}
	return by + " wrote it"
}

// Label is what a screen reader says of a day's button.
func (d day) Label() string {
	if d.Done {
		return d.Date.Format("Monday 2 January") + ": done"
	}
	return d.Date.Format("Monday 2 January") + ": not done"
}

// Mark is what pressing the button says: see postTick.
func (d day) Mark() string {
	if d.Done {
		return "undone " + d.Date.Format(dayFormat)
	}
	return "done " + d.Date.Format(dayFormat)
}

// The size of a curve.
const (
	curveWidth  = 240
	curveHeight = 56
	curveMargin = 6
)

// Curve returns the path of an SVG line through what is known, with gaps where
// nothing is.
func (n number) Curve() string {
	var path strings.Builder
	command := "M"
	for i, p := range n.Days {
		if !p.Known {
			command = "M"
			continue
		}
		x, y := n.at(i)
		fmt.Fprintf(&path, "%s%.1f %.1f", command, x, y)
		if command == "M" {
			path.WriteString("h0.1") // so that a day between two gaps is seen
		}
		command = "L"
	}
	return path.String()
}

// at returns where a day stands on the curve.
func (n number) at(i int) (x, y float64) {
	low, high := n.bounds()
	if high == low {
		low, high = low-1, high+1
	}
	x = curveMargin + float64(i)/float64(numberDays-1)*(curveWidth-2*curveMargin)
	y = curveHeight - curveMargin - (n.Days[i].Value-low)/(high-low)*(curveHeight-2*curveMargin)
	return x, y
}

func (n number) bounds() (low, high float64) {
	first := true
	for _, p := range n.Days {
		if p.Known && (first || p.Value < low) {
			low = p.Value
		}
		if p.Known && (first || p.Value > high) {
			high = p.Value
		}
		first = first && !p.Known
	}
	return low, high
}

// Dot is where today stands on the curve, or nil.
func (n number) Dot() *struct{ X, Y float64 } {
	if !n.Days[numberDays-1].Known {
		return nil
	}
	x, y := n.at(numberDays - 1)
	return &struct{ X, Y float64 }{x, y}
}

// Summary says in words what the curve shows.
func (n number) Summary() string {
	sum, count := 0.0, 0
	for _, p := range n.Days {
		if p.Known {
			sum, count = sum+p.Value, count+1
		}
	}
	if count == 0 {
		return "nothing noted yet"
	}
	low, high := n.bounds()
	return fmt.Sprintf("%.4g on average, from %v to %v", sum/float64(count), low, high)
}
