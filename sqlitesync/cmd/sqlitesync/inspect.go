package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// Limits of FORMAT.md: for a segment file, for what it holds, for a record.
const (
	maxSegment = 66 << 20
	maxPacked  = 65 << 20
	maxRecord  = 300 << 10
)

func (a *app) inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "inspect SEGMENT",
		GroupID: groupLook,
		Short:   "Show what a segment file of the folder is, and what it holds",
		Long: `Shows the header of a segment, FOLDER/devices/DEVICE/*.seg, and, if the keys of a member are on this machine, the changes
that it holds. It uses no database: who may sign is looked up in the roster of the folder that the file stands in.`,
		Example: "  sqlitesync inspect ~/Dropbox/notes/devices/4be1…/000000000001-000000000001-0000.seg",
		Args:    usage(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.inspect(cmd.Context(), args[0]) },
	}
}

const hintSegment = "Segments are FOLDER/devices/DEVICE/*.seg. If this is one of them, it is damaged, or a newer version wrote it: 'sqlitesync doctor DB' says what mends it."

// segmentJSON is what inspect prints. What could not be found out is left out,
// and Problem says why.
type segmentJSON struct {
	Space      string       `json:"space"`
	Device     string       `json:"device"`
	First      uint64       `json:"first"`
	Last       uint64       `json:"last"`
	Generation uint32       `json:"generation"`
	Epoch      string       `json:"epoch"`
	Bytes      int          `json:"bytes"`
	Prev       string       `json:"prev"`
	Tail       string       `json:"tail"`
	Signed     bool         `json:"signed"` // by its device, which the folder's roster knows
	Problem    string       `json:"problem,omitempty"`
	Changes    []changeJSON `json:"changes"` // null: they can't be read
}

type changeJSON struct {
	Kind   string            `json:"kind"` // put or delete
	Table  string            `json:"table"`
	Key    []json.RawMessage `json:"key"`
	Device *string           `json:"device"`
	Time   *string           `json:"time"`
	Batch  uint64            `json:"batch"`
	Values json.RawMessage   `json:"values"`
}

func (a *app) inspect(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSegment {
		return &failure{fmt.Errorf("%s is not a segment: no plain file, or too large", path), hintSegment, exitFailed}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := crypto.ParseSegment(data)
	if err != nil {
		return &failure{fmt.Errorf("%s: %w", path, err), hintSegment, exitFailed}
	}
	header := file.Header()
	report := segmentJSON{
		Space: header.Space.String(), Device: header.Device.String(), First: header.First, Last: header.Last, Generation: header.Generation,
		Epoch: header.Epoch.String(), Bytes: len(data), Prev: header.Prev.String(), Tail: file.Tail().String(),
	}
	if err := verify(path, file); err != nil {
		report.Problem = err.Error()
	} else {
		report.Signed = true
		if report.Changes, err = a.contents(ctx, file); err != nil {
			report.Problem = err.Error()
		}
	}
	if a.json {
		return a.printJSON(report)
	}
	a.printSegment(&report)
	return nil
}

// verify checks the signature of a segment with the roster of the folder that it
// stands in.
func verify(path string, file *crypto.Segment) error {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	f, err := folder.Open(filepath.Dir(filepath.Dir(filepath.Dir(absolute))))
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Records()
	if err != nil {
		return errors.New("it stands in no folder with a roster, so nobody knows who may have signed it")
	}
	var records []*crypto.Record
	for _, name := range names {
		data, err := f.ReadRecord(name, maxRecord)
		if err != nil {
			continue // it is missed below if it matters
		}
		if record, err := crypto.ParseRecord(data); err == nil {
			records = append(records, record)
		}
	}
	header := file.Header()
	roster, err := crypto.ReadRoster(header.Space, records)
	if err != nil {
		return err
	}
	member, known := roster.Member(header.Device)
	if !known {
		return fmt.Errorf("the folder's roster does not know device %s", header.Device.Short())
	}
	return file.Verify(member.Keys.SigningKey())
}

// contents opens a segment that was verified, if a member's keys are here.
func (a *app) contents(ctx context.Context, file *crypto.Segment) ([]changeJSON, error) {
	header := file.Header()
	epoch, err := a.epoch(ctx, header)
	if err != nil {
		return nil, err
	}
	packed, err := file.Open(epoch, maxPacked)
	if err != nil {
		return nil, err
	}
	body, err := segment.Unpack(packed)
	if err != nil {
		return nil, err
	}
	decoded, err := segment.Decode(body, changelog.DeviceID(header.Device), header.First, header.Last)
	if err != nil {
		return nil, err
	}
	// Pieces of large values may stand in other segments; these values show as null.
	_ = segment.NewJoiner(maxPacked).Join(decoded)
	changes := []changeJSON{}
	for i := range decoded.Changes {
		changes = append(changes, changeOf(&decoded.Changes[i]))
	}
	return changes, nil
}

// epoch looks for the key of a segment among the key entries on this machine.
func (a *app) epoch(ctx context.Context, header crypto.SegmentHeader) (*crypto.Epoch, error) {
	entries, err := os.ReadDir(a.keyDirectory())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var failed error
	for _, file := range entries {
		id, ok := strings.CutSuffix(file.Name(), ".key")
		if !ok {
			continue
		}
		secret, err := sqlitesync.FileKeys(a.keyDirectory()).Load(ctx, id)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		entry, err := crypto.ParseKeyEntry(secret)
		if err != nil || entry.Space != header.Space {
			continue // it is another's
		}
		if epoch := entry.Epoch(header.Epoch); epoch != nil {
			return epoch, nil
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, errors.New("no keys on this machine open it")
}

func changeOf(c *changelog.Change) changeJSON {
	change := changeJSON{Kind: "put", Table: c.Shape.Table, Key: array(c.Key), Batch: c.Stamp.Batch, Values: json.RawMessage("null")}
	if !c.Stamp.Baseline() {
		device, _ := deviceOf(sqlitesync.DeviceID(c.Stamp.Device))
		change.Device, change.Time = device, stamp(time.UnixMilli(c.Stamp.Time))
	}
	if c.Shape.Kind == changelog.Delete {
		change.Kind = "delete"
	} else {
		change.Values = json.RawMessage(merge.ReadableObject(c.Shape.Columns, c.Values))
	}
	return change
}

func (a *app) printSegment(report *segmentJSON) {
	batches := fmt.Sprintf("%d", report.First)
	if report.Last != report.First {
		batches = fmt.Sprintf("%d to %d", report.First, report.Last)
	}
	signed := "by its device"
	if !report.Signed {
		signed = "not known"
	}
	for _, line := range [][2]string{
		{"space", report.Space}, {"device", report.Device}, {"batches", batches}, {"generation", fmt.Sprint(report.Generation)},
		{"epoch", report.Epoch}, {"bytes", fmt.Sprint(report.Bytes)}, {"prev", report.Prev}, {"tail", report.Tail}, {"signed", signed},
	} {
		a.printf("%-10s %s", line[0], line[1])
	}
	if report.Problem != "" {
		a.printf("%-10s %s", "closed", report.Problem)
		return
	}
	a.printf("%-10s %d", "changes", len(report.Changes))
	for _, c := range report.Changes {
		key := make([]string, len(c.Key))
		for i := range c.Key {
			key[i] = string(c.Key[i])
		}
		a.printf("%-10s %s %s %s", c.Kind, c.Table, strings.Join(key, ", "), c.Values)
	}
}
