package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/sqlitesync/go/examples/notes/store"
)

// play shows a laptop whose app is updated before the phone's: both go on with
// the same notes, and nothing that the old version does not know gets lost.
func play(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "sqlitesync-notes-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at := func(device string) place {
		return place{filepath.Join(dir, device+".db"), filepath.Join(dir, "folder"), filepath.Join(dir, device+"-keys"), device}
	}
	if err := os.Mkdir(at("").folder, 0o700); err != nil {
		return err
	}
	laptop, err := openApp(ctx, at("laptop"), versionNotes, create)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, laptop.close()) }()
	invite, err := laptop.sync.Invite(ctx, nil)
	if err != nil {
		return err
	}
	phone, err := openApp(ctx, at("phone"), versionNotes, join(invite.Code))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, phone.close()) }()

	for _, scene := range []func(context.Context, io.Writer, *app, *app) error{writeNotes, updateLaptop, writeOnOldPhone, updatePhone} {
		if err := scene(ctx, out, laptop, phone); err != nil {
			return err
		}
	}
	return nil
}

// settle lets both have what the other wrote.
func settle(ctx context.Context, apps ...*app) error {
	for _, a := range append(apps, apps[0]) {
		if err := a.sync.Sync(ctx); err != nil {
			return err
		}
	}
	return nil
}

func writeNotes(ctx context.Context, out io.Writer, laptop, phone *app) error {
	for _, title := range []string{"Buy bread", "!Call home"} {
		if _, err := laptop.add(ctx, title); err != nil {
			return err
		}
	}
	if _, err := phone.add(ctx, "A film for Friday"); err != nil {
		return err
	}
	if err := settle(ctx, laptop, phone); err != nil {
		return err
	}
	fmt.Fprintln(out, "Version 1 of the app, on a laptop and on a phone. Both show:")
	return phone.listTitles(ctx, out)
}

// updateLaptop migrates one device while the other, which has not heard of it,
// edits a row that the migration writes to.
func updateLaptop(ctx context.Context, out io.Writer, laptop, phone *app) error {
	fmt.Fprintln(out, "\nThe laptop gets version 2: goose adds a column for pins, fills it, and makes a table of tags.")
	if err := laptop.update(ctx, versionPinsAndTags); err != nil {
		return err
	}
	call, err := laptop.byTitle(ctx, "!Call home")
	if err != nil {
		return err
	}
	if _, err := phone.notes.RenameNote(ctx, store.RenameNoteParams{ID: call, Title: "Call home on Sunday"}); err != nil {
		return err
	}
	bread, err := laptop.byTitle(ctx, "Buy bread")
	if err != nil {
		return err
	}
	if err := laptop.notes.TagNote(ctx, store.TagNoteParams{NoteID: bread, Name: "shop"}); err != nil {
		return err
	}
	if err := settle(ctx, phone, laptop); err != nil {
		return err
	}
	fmt.Fprintln(out, "Meanwhile somebody renames a note on the phone, and tags another on the laptop, which now shows:")
	return laptop.list(ctx, out)
}

// writeOnOldPhone edits a row that has values which the phone does not know.
func writeOnOldPhone(ctx context.Context, out io.Writer, laptop, phone *app) error {
	fmt.Fprintf(out, "\nThe phone still has version 1. It keeps what it can't show (%d row held), and goes on:\n", phone.sync.Status().Held)
	call, err := phone.byTitle(ctx, "Call home on Sunday")
	if err != nil {
		return err
	}
	if _, err := phone.notes.RenameNote(ctx, store.RenameNoteParams{ID: call, Title: "Call home at six"}); err != nil {
		return err
	}
	if err := settle(ctx, phone, laptop); err != nil {
		return err
	}
	if err := phone.listTitles(ctx, out); err != nil {
		return err
	}
	fmt.Fprintln(out, "On the laptop the note that was renamed is still pinned:")
	return laptop.list(ctx, out)
}

func updatePhone(ctx context.Context, out io.Writer, laptop, phone *app) error {
	if err := phone.update(ctx, versionPinsAndTags); err != nil {
		return err
	}
	if err := settle(ctx, phone, laptop); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe phone gets version 2, too (%d rows held), and shows:\n", phone.sync.Status().Held)
	if err := phone.list(ctx, out); err != nil {
		return err
	}
	lost := 0
	for _, a := range []*app{laptop, phone} {
		lost += a.sync.Status().Conflicts
	}
	fmt.Fprintf(out, "Conflicts on both: %d.\n", lost)
	return nil
}

func (a *app) byTitle(ctx context.Context, title string) (string, error) {
	notes, err := a.notes.ListTitles(ctx)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(notes, func(note store.ListTitlesRow) bool { return note.Title == title })
	if i < 0 {
		return "", fmt.Errorf("no note is called %q", title)
	}
	return notes[i].ID, nil
}
