package sqlitesync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// lookAtOwn looks at this device's own directory.
func (e *examination) lookAtOwn(ctx context.Context, f *folder.Folder) {
	listing, err := f.List(e.identity.device.String())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.add(folderFinding(err))
		return
	}
	if e.view.keys == nil {
		found := Finding{Code: FindingTwin, Device: e.identity.device, Note: true, Path: "devices/" + e.identity.device.String(),
			Text: "Another copy of this database publishes with its keys: it goes on as a new device when it is synced."}
		if name, err := e.strange(ctx, f, listing); err == nil && name != nil {
			found.Path += "/" + name.String()
			e.add(found)
		} else if err := e.lookAtCopies(ctx, f, listing); errors.Is(err, errCopied) {
			e.add(found)
		}
	}
	standing := make(map[folder.SegmentName]bool)
	for _, name := range listing.Segments {
		standing[name] = true
	}
	own, err := e.ownSegments(ctx, fmt.Sprintf("state <> %d AND replaced IS NULL", segmentPending))
	if err != nil {
		e.add(Finding{Code: FindingOwnMissing, Err: err, Text: "What this device has published can't be read."})
		return
	}
	missing, damaged, path := 0, 0, ""
	for i := range own {
		switch {
		case !standing[own[i].name]:
			missing++
		case e.spoiltOwn(f, &own[i]):
			damaged++
			path = cmp.Or(path, "devices/"+e.identity.device.String()+"/"+own[i].name.String())
		}
	}
	if missing > 0 {
		e.add(Finding{Code: FindingOwnMissing, Device: e.identity.device, Count: missing,
			Text: plural(missing, "file") + " that this device has published " + are(missing) + " gone from the folder. What stays away is made again."})
	}
	if damaged > 0 {
		e.add(Finding{Code: FindingSegmentDamaged, Device: e.identity.device, Count: damaged, Path: path,
			Text: "Another program has damaged " + plural(damaged, "file") + " of this device."})
	}
}

// spoiltOwn reports whether a file of this device is not what it has published. It
// looks as closely as a pass does: at what was found whole once only for its length.
func (e *examination) spoiltOwn(f *folder.Folder, own *ownSegment) bool {
	if own.state == segmentPublished {
		_, err := e.readOwn(f, own)
		return err != nil
	}
	return e.shrunk(f, own)
}

// lookAtLogs reads what the other devices have published and this one has not
// merged.
func (e *examination) lookAtLogs(ctx context.Context, f *folder.Folder) {
	var p problems
	readings, err := e.list(ctx, f, &p)
	if err != nil {
		e.add(folderFinding(err))
		return
	}
	for _, problem := range p.list {
		e.add(listFinding(problem))
	}
	byDevice := make(map[DeviceID]*reading)
	for _, r := range readings {
		byDevice[r.device] = r
		end := uint64(crypto.MaxBatch)
		if e.opens() {
			end = e.lookAtLog(ctx, f, r)
		}
		e.status.Behind += r.behind(end)
	}
	if e.opens() && !e.has(FindingRestored, FindingTwin) { // what others say that they have read of a copy is of the other one, and no lie
		e.lookAtHeadsOf(ctx, f, byDevice)
	}
}

// has reports whether one of these was found.
func (e *examination) has(codes ...FindingCode) bool {
	return slices.ContainsFunc(e.found, func(f Finding) bool { return slices.Contains(codes, f.Code) })
}

// opens reports whether this device should be able to open what members write. One
// that is a member no more would find it damaged.
func (e *examination) opens() bool { return e.view.keys == nil && !e.has(FindingNotMember) }

// listFinding says what is wrong with the directory of a device.
func listFinding(problem error) Finding {
	found := Finding{Code: FindingFolderUnreadable, Err: problem, Text: "The directory of a device can't be read."}
	var known *Error
	if errors.As(problem, &known) {
		found.Device, found.Path = known.Device, known.Path
	}
	if errors.Is(problem, errStranger) {
		found.Code, found.Text = FindingQuarantine, "A device that may not write, or that is not known yet, has published segments. They are left alone."
	}
	if errors.Is(problem, errCrowded) {
		found.Code, found.Text = FindingCopiesUnread, "There are too many copies of the folder's directories: what stands in some of them is not read."
	}
	return found
}

// lookAtLog reads the log of a device from where it was merged to, up to the
// first thing that is wrong with it. It returns where the log ends, if a copy says
// the rest of it again.
func (e *examination) lookAtLog(ctx context.Context, f *folder.Folder, r *reading) (end uint64) {
	position, tail := r.position, r.tail
	for rewound := false; ctx.Err() == nil; {
		switch next := e.readGroup(f, r, position, tail); {
		case !rewound && position > 0 && next.fault != nil && errors.Is(next.fault, errDiscontinued):
			position, tail, rewound = 0, crypto.Tail{}, true // as a pass does: the log has forked
		case e.forksAt(r, next):
			return position
		case next.fault != nil:
			found := Finding{Code: FindingSegmentDamaged, Device: r.device, Path: next.fault.Path, Err: next.fault,
				Text: fmt.Sprintf("The file with batch %d of device %s can't be read: it is damaged, or has not been downloaded completely.", next.fault.Batch, r.device.Short())}
			switch {
			case errors.Is(next.fault, ErrFormat):
				found.Code, found.Text = FindingFormatNewer, "A newer version of sqlitesync wrote a segment."
			case errors.Is(next.fault, crypto.ErrWrongKey):
				found.Code, found.Text = FindingKeyUnknown, fmt.Sprintf("The file with batch %d of device %s needs a key that is not here yet.", next.fault.Batch, r.device.Short())
			case errors.Is(next.fault, errCut):
				found.Code, found.Note, found.Text = FindingQuarantine, true, fmt.Sprintf("Batch %d of device %s, which was revoked, is used on no device.", next.fault.Batch, r.device.Short())
			case errors.Is(next.fault, folder.ErrSlow):
				found.Code, found.Text = FindingNotDownloaded, fmt.Sprintf("The file with batch %d of device %s is a placeholder, whose content does not come.", next.fault.Batch, r.device.Short())
			}
			e.add(found)
			if errors.Is(next.fault, errCut) {
				return position
			}
			return crypto.MaxBatch
		case next.missing > 0:
			e.status.Waiting = append(e.status.Waiting, Waiting{Device: r.device, Batch: next.missing, For: r.device})
			e.add(Finding{Code: FindingGap, Device: r.device, Path: "devices/" + r.device.String() + "/" + original(next.missing).String(),
				Text: fmt.Sprintf("Batch %d of device %s is missing, although later ones are there.", next.missing, r.device.Short())})
			return crypto.MaxBatch
		case next.segments == nil:
			return crypto.MaxBatch
		default:
			position, tail = next.last, next.tail
		}
	}
	return crypto.MaxBatch
}

// lookAtHeadsOf reads the heads of the other members: what they say that they
// have published, and what time it was.
func (e *examination) lookAtHeadsOf(ctx context.Context, f *folder.Folder, readings map[DeviceID]*reading) {
	var told told
	if err := told.load(ctx, e.handle.conn); err != nil {
		e.add(Finding{Code: FindingHeadDamaged, Err: err, Text: "What this device has told of itself can't be read."})
		return
	}
	clocks := make(map[DeviceID]clockReading)
	for _, member := range e.roster.Members() {
		if member.ID == e.identity.device {
			continue
		}
		content, err := e.readHead(ctx, f, member)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errForkedHead) {
			continue
		}
		if errors.Is(err, errHeadAhead) && e.maySucceedAgain(ctx) {
			e.addRestored(foundAhead)
			return // what else heads say of it is of the other one
		}
		if err != nil {
			found := Finding{Code: FindingHeadDamaged, Device: member.ID, Path: "devices/" + member.ID.String() + "/head", Err: err,
				Text: fmt.Sprintf("The head of device %s is damaged, is an old one, or is not its own.", member.ID.Short())}
			if errors.Is(err, crypto.ErrWrongKey) {
				found.Code, found.Text = FindingKeyUnknown, fmt.Sprintf("The head of device %s needs a key that is not here yet.", member.ID.Short())
			}
			e.add(found)
			continue
		}
		reading := clockReading{head: content, said: time.UnixMilli(content.Time)}
		if told.batch > 0 && content.Seen[e.identity.device.String()] >= told.batch {
			reading.answers = told.time
		}
		clocks[member.ID] = reading
		e.lookForFiles(ctx, f, member, content, readings[member.ID])
	}
	e.status.Clocks = clocksOff(e.identity.device, e.environment.Now(), clocks)
	for _, clock := range e.status.Clocks {
		text := fmt.Sprintf("The clock of device %s is off by about %.0f days.", clock.Device.Short(), clock.By.Hours()/24)
		if clock.Self {
			text = fmt.Sprintf("The clock of this machine is off by about %.0f days.", clock.By.Hours()/24)
		}
		e.add(Finding{Code: FindingClockOff, Device: clock.Device, Text: text})
	}
	e.lookForDivergenceOf(ctx, clocks)
}

// lookForDivergenceOf compares what the heads say with what is known here.
func (e *examination) lookForDivergenceOf(ctx context.Context, readings map[DeviceID]clockReading) {
	known, err := e.knowledge(ctx)
	if err != nil {
		return // it was told of before
	}
	e.status.Diverged = e.diverged(known, readings)
	for _, d := range e.status.Diverged {
		e.add(Finding{Code: FindingDiverged, Device: d.Device, Table: d.Table,
			Text: fmt.Sprintf("Device %s knows something else of table %q, although both have read the same.", d.Device.Short(), d.Table)})
	}
}

// lookForFiles looks whether the files are here that a device names in its head
// and that are not merged.
func (e *examination) lookForFiles(ctx context.Context, f *folder.Folder, member crypto.Member, content *head, r *reading) {
	position, _, err := e.db.Position(ctx, changelog.DeviceID(member.ID))
	if err != nil {
		return // it was told of before
	}
	standing := make(map[folder.SegmentName]bool)
	if r != nil {
		for _, name := range slices.Concat(r.names, strayNames(f, member.ID)) {
			standing[name] = true
		}
	}
	missing := 0
	for _, segment := range content.Segments {
		if name, ok := folder.ParseSegmentName(segment.Name); ok && name.Last > position && !standing[name] {
			missing++
		}
	}
	if missing > 0 {
		e.add(Finding{Code: FindingNotDownloaded, Device: member.ID, Count: missing, Path: "devices/" + member.ID.String(),
			Text: fmt.Sprintf("%s of device %s %s not downloaded yet.", plural(missing, "file"), member.ID.Short(), are(missing))})
	}
}
