package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sqlitesync/go/examples/notes/store"
	"github.com/sqlitesync/go/sqlitesync"
)

const usage = `  add TITLE           write a note
  list                show the notes
  rename NOTE TITLE   NOTE is the end of its id, as list shows it
  pin NOTE            show a note first; unpin undoes it
  unpin NOTE
  tag NOTE NAME
  delete NOTE
  invite              make a code for another device
  join CODE           have the notes of the others on this device
  conflicts           show what was overruled, and is kept
`

// An action is what the app does for one command. The first of words is the id
// of a note if the command takes one.
type action struct {
	note bool // its first argument names a note
	args int  // how many it has at least, that one included
	do   func(ctx context.Context, out io.Writer, a *app, words []string) error
}

var actions = map[string]action{
	"add": {args: 1, do: func(ctx context.Context, _ io.Writer, a *app, words []string) error {
		_, err := a.add(ctx, strings.Join(words, " "))
		return err
	}},
	"list": {do: func(ctx context.Context, out io.Writer, a *app, _ []string) error { return a.list(ctx, out) }},
	"rename": {note: true, args: 2, do: func(ctx context.Context, _ io.Writer, a *app, words []string) error {
		_, err := a.notes.RenameNote(ctx, store.RenameNoteParams{ID: words[0], Title: strings.Join(words[1:], " ")})
		return err
	}},
	"pin":   {note: true, args: 1, do: setPinned(1)},
	"unpin": {note: true, args: 1, do: setPinned(0)},
	"tag": {note: true, args: 2, do: func(ctx context.Context, _ io.Writer, a *app, words []string) error {
		return a.notes.TagNote(ctx, store.TagNoteParams{NoteID: words[0], Name: words[1]})
	}},
	"delete": {note: true, args: 1, do: func(ctx context.Context, _ io.Writer, a *app, words []string) error {
		_, err := a.notes.DeleteNote(ctx, words[0])
		return err
	}},
	"invite": {do: func(ctx context.Context, out io.Writer, a *app, _ []string) error {
		invite, err := a.sync.Invite(ctx, nil)
		if err == nil {
			fmt.Fprintln(out, invite.Code)
		}
		return err
	}},
	"join":      {args: 1, do: func(ctx context.Context, out io.Writer, a *app, _ []string) error { return a.list(ctx, out) }},
	"conflicts": {do: conflicts},
}

// command opens the app, brings it to where the folder is, does one command, and
// publishes what that wrote. If the folder is missing it says so, and does all
// the same: what is written goes out with a later one.
func command(ctx context.Context, out io.Writer, where place, name string, words []string) (err error) {
	action, ok := actions[name]
	if !ok || len(words) < action.args {
		return errors.New("usage: notes -folder DIRECTORY [-db FILE] COMMAND …\n\n" + strings.TrimSuffix(usage, "\n"))
	}
	entry := enter(create)
	if name == "join" {
		entry = join(words[0])
	}
	a, err := openApp(ctx, where, versionPinsAndTags, entry)
	if err != nil {
		return err
	}
	behind := a.sync.Sync(ctx)
	if behind != nil {
		fmt.Fprintln(out, "Not in sync just now:", behind)
	}
	defer func() {
		if closed := a.close(); behind == nil || !errors.Is(closed, sqlitesync.ErrFolder) { // else it was said
			err = errors.Join(err, closed)
		}
	}()
	if action.note {
		if words[0], err = a.find(ctx, words[0]); err != nil {
			return err
		}
	}
	return action.do(ctx, out, a, words)
}

// find returns the id of the note whose id ends so.
func (a *app) find(ctx context.Context, ending string) (string, error) {
	ids, err := a.notes.FindNotes(ctx, ending)
	if err == nil && len(ids) != 1 {
		err = fmt.Errorf("%d notes have an id that ends in %q", len(ids), ending)
	}
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// add writes a note and returns its id.
func (a *app) add(ctx context.Context, title string) (string, error) {
	id := sqlitesync.NewKey()
	return id, a.notes.AddNote(ctx, store.AddNoteParams{ID: id, Title: title, CreatedAt: time.Now().UnixMilli()})
}

func setPinned(pinned int64) func(context.Context, io.Writer, *app, []string) error {
	return func(ctx context.Context, _ io.Writer, a *app, words []string) error {
		_, err := a.notes.PinNote(ctx, store.PinNoteParams{ID: words[0], Pinned: pinned})
		return err
	}
}

// list shows the notes, with what version 2 of the schema knows of them.
func (a *app) list(ctx context.Context, out io.Writer) error {
	notes, err := a.notes.ListNotes(ctx)
	if err != nil {
		return err
	}
	rows, err := a.notes.ListTags(ctx)
	if err != nil {
		return err
	}
	tags := make(map[string]string)
	for _, row := range rows {
		tags[row.NoteID] += " #" + row.Name
	}
	for _, note := range notes {
		pin := " "
		if note.Pinned != 0 {
			pin = "*"
		}
		fmt.Fprintf(out, "  %s %s %s%s\n", short(note.ID), pin, note.Title, tags[note.ID])
	}
	return nil
}

// listTitles shows the notes as version 1 of the app does.
func (a *app) listTitles(ctx context.Context, out io.Writer) error {
	notes, err := a.notes.ListTitles(ctx)
	for _, note := range notes {
		fmt.Fprintf(out, "  %s   %s\n", short(note.ID), note.Title)
	}
	return err
}

func short(id string) string { return id[len(id)-6:] }

// conflicts shows what lost against an edit whose author had not seen it.
func conflicts(ctx context.Context, out io.Writer, a *app, _ []string) error {
	for conflict, err := range a.sync.Conflicts(ctx) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  %s %v: %s won over %s\n", conflict.Table, conflict.Key, describe(conflict.Winner), describe(conflict.Loser))
	}
	return nil
}

func describe(version sqlitesync.Version) string {
	if version.Deleted {
		return "its deletion"
	}
	if title, ok := version.Values["title"]; ok {
		return fmt.Sprintf("%q", title)
	}
	return fmt.Sprint(version.Values)
}
