package folder

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Format is the format of the folder that this package writes.
const Format = 1

// markerLimit bounds the marker, in bytes. What we write is under a hundred; the rest is room for later fields.
const markerLimit = 4 << 10

// A Marker is what sqlitesync.json says about the folder. It is only a hint, and nothing may be trusted because of it:
// it helps to tell an empty or swapped folder from the right one.
type Marker struct {
	Format int    // at least 1
	Space  string // the id of the space, 64 hexadecimal characters; "" unless Format is one that we know
}

// Marker reads sqlitesync.json. If there is none the error is fs.ErrNotExist, if it is damaged ErrMarker.
func (f *Folder) Marker() (Marker, error) {
	const operation = "read the marker"
	data, err := f.read(markerName, markerLimit)
	if errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%w: %w", ErrMarker, err)
	}
	if err != nil {
		return Marker{}, f.failure(operation, err)
	}
	marker, err := parseMarker(data)
	return marker, f.failure(operation, err)
}

// parseMarker reads a marker. Fields that it does not know are passed over, so that later versions may add some;
// of a later format nothing but its number can be understood.
func parseMarker(data []byte) (Marker, error) {
	var fields map[string]json.RawMessage // unlike a struct, a map does not take "Space" for "space"
	if err := json.Unmarshal(data, &fields); err != nil {
		return Marker{}, fmt.Errorf("%w: not a JSON object", ErrMarker)
	}
	var marker Marker
	if err := json.Unmarshal(fields["format"], &marker.Format); err != nil || marker.Format < 1 {
		return Marker{}, fmt.Errorf("%w: no format number", ErrMarker)
	}
	if marker.Format != Format {
		return marker, nil
	}
	if err := json.Unmarshal(fields["space"], &marker.Space); err != nil || !isHex(marker.Space, spaceLength) {
		return Marker{}, fmt.Errorf("%w: no id of a space", ErrMarker)
	}
	return marker, nil
}

const readme = `What is this folder?

A program on your devices uses this folder to keep its data the same on all
of them. Your file-sync service (Dropbox, Syncthing, iCloud Drive, Google
Drive, OneDrive, ...) or a USB stick carries the files from one device to the
next.

Everything is encrypted. Neither the service nor anyone else who can see
these files can read what is inside.

Please do not edit, rename, move or delete anything here, even if it looks
old. Each device writes its own files, and the others need them. Files of
your own are better kept elsewhere; if there are any here, they are left
alone.

If your service offers it, mark this folder as "always keep on this device".
If something was changed or deleted by mistake, bring it back from the
service's trash or history, and let the program run on each of your devices.

The program was made with sqlitesync.
`
