package sqlitesync

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// told describes what a database knows of a row.
func (d *testDevice) told(v *View, table string, key ...any) string {
	d.tb.Helper()
	var h *RowHistory
	var err error
	if v != nil {
		h, err = v.History(context.Background(), table, key...)
	} else {
		h, err = d.syncer.History(context.Background(), table, key...)
	}
	must(d.tb, err)
	list := []string{fmt.Sprint(h.Table, h.Key)}
	for i, is := range []bool{h.Shown, h.Edited, h.Held != ""} {
		if is {
			list[0] += []string{" shown", " edited", " held"}[i]
		}
	}
	for _, c := range h.Changes {
		text := fmt.Sprint(c.Device.Short(), " ", c.Values["name"])
		if c.Deleted {
			text = c.Device.Short() + " deleted"
		}
		if c.Winner {
			text += " wins"
		}
		if c.Conflict != 0 {
			text += " lost"
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}

func TestHistoryOfARow(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	ia, ib := a.id().Short(), b.id().Short()
	want := func(d *testDevice, want string, key ...any) {
		t.Helper()
		for _, v := range []*View{nil, d.look("")} {
			if got := d.told(v, "ITEM", key...); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
	want(a, "item[x]", "x")
	a.exec("INSERT INTO item VALUES ('x', 'first', 1)")
	want(a, "item[x] edited", "x")
	settle(a, b)
	want(b, "item[x] shown; "+ia+" first wins", "x")
	a.exec("UPDATE item SET name = 'of a'")
	const now = "SELECT julianday('now')"
	for before := a.value(now); a.value(now) == before; { // a stamp has milliseconds
	}
	b.exec("UPDATE item SET name = 'of b'")
	b.exec("UPDATE item SET name = 'later of b'")
	a.sync()
	b.sync()
	settle(a, b)
	want(a, "item[x] shown; "+ib+" later of b wins; "+ia+" of a lost", "x")
	a.exec("DELETE FROM item")
	settle(a, b)
	want(a, "item[x]; "+ia+" deleted wins; "+ib+" later of b; "+ia+" of a lost", "x")

	// Rows whose table is not here are known too.
	a.exec("CREATE TABLE more (id TEXT, n INTEGER, name TEXT, PRIMARY KEY (n, id))")
	a.sync()
	a.exec("INSERT INTO more VALUES ('m', 7, 'far')")
	settle(a, b)
	if got, want := b.told(nil, "more", int64(7), "m"), "more[7 m] held; "+ia+" far wins"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := a.told(nil, "more", "7", "m"), "more[7 m] shown; "+ia+" far wins"; got != want { // a column's affinity counts, as in SQL
		t.Errorf("%q, want %q", got, want)
	}
	for _, key := range [][]any{{"7"}, {}, {7, "m"}} {
		if _, err := a.syncer.History(context.Background(), "more", key...); err == nil {
			t.Errorf("%v is a key", key)
		}
	}
	if got := a.told(nil, "nothing", "x"); got != "nothing[x]" {
		t.Errorf("of a table that is not there: %q", got)
	}
}

func TestRenamedDevices(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	called := func(want string) {
		t.Helper()
		settle(a, b)
		devices, err := b.syncer.Devices(ctx)
		must(t, err)
		if devices[0].Name != want {
			t.Errorf("it is called %q, want %q", devices[0].Name, want)
		}
	}
	must(t, a.syncer.Rename(ctx, "the old laptop"))
	called("the old laptop")
	_, opts := a.look("").Opened()
	if opts.DeviceName != "the old laptop" {
		t.Errorf("the database remembers %q", opts.DeviceName)
	}
	// It stays where the app names none, also after the command has opened it by what is remembered.
	a.options.DeviceName = ""
	a.reopen()
	called("the old laptop")
	a.options.DeviceName = opts.DeviceName
	a.reopen()
	a.options.DeviceName = ""
	a.reopen()
	called("the old laptop")
	a.options.DeviceName = "laptop"
	a.reopen()
	called("laptop")
	for _, name := range []string{"", strings.Repeat("x", 101), "\xff", "a\x1b[2J", "two\nlines"} {
		if err := a.syncer.Rename(ctx, name); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
	called("laptop")
}
