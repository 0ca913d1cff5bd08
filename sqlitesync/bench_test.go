package sqlitesync

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
)

// The benchmarks of DESIGN.md, section 11. Each runs its work beside plain
// SQLite, turn by turn, and reports the median of the turns' ratios, so that a
// machine that slows down halfway slows both. BENCHMARKS.md explains.

const noteSchema = `CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, folder TEXT, title TEXT, body TEXT,
	done INTEGER, created INTEGER, updated INTEGER)`

// notes returns n rows of about 300 bytes with UUIDv7 keys and words for text.
func notes(n int, seed uint64) [][]any { return notesAfter(0, n, seed) }

// notesAfter returns the n rows that were created after the first ones.
func notesAfter(first, n int, seed uint64) [][]any {
	random := rand.New(rand.NewPCG(seed, 1))
	words := make([]string, 2000)
	for i := range words {
		word := make([]byte, 3+random.IntN(8))
		for j := range word {
			word[j] = "etaoinshrdlucmfwypvbgkjqxz"[min(random.IntN(26), random.IntN(26))]
		}
		words[i] = string(word)
	}
	text := func(length int) string {
		var b bytes.Buffer
		for b.Len() < length {
			b.WriteString(words[min(random.IntN(len(words)), random.IntN(len(words)))])
			b.WriteByte(' ')
		}
		return b.String()[:length]
	}
	rows := make([][]any, n)
	for i := range rows {
		created := 1750000000000 + int64(first+i)*137
		id := uuid.UUID{}
		for j := range id {
			id[j] = byte(random.Uint32())
		}
		for j := range 6 {
			id[j] = byte(created >> (40 - 8*j))
		}
		id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
		rows[i] = []any{id.String(), "f" + strconv.Itoa(random.IntN(40)) + "abc", text(41), text(200), int64(random.IntN(2)), created, created}
	}
	return rows
}

const (
	insertNote = "INSERT INTO note VALUES (?, ?, ?, ?, ?, ?, ?)"
	updateNote = "UPDATE note SET done = ?, updated = ? WHERE id = ?"
)

// benchApp opens a database with the note table, captured or not.
func benchApp(b *testing.B, captured bool) *sql.DB {
	b.Helper()
	path := filepath.Join(b.TempDir(), "app.db")
	db, err := OpenDB(path)
	must(b, err)
	b.Cleanup(func() { db.Close() })
	_, err = db.Exec(noteSchema)
	must(b, err)
	if captured {
		ctx := context.Background()
		h, err := openHandle(ctx, path)
		must(b, err)
		must(b, h.conn.Transact(ctx, changelog.Ordinary, func() error {
			if err := createTables(ctx, h.conn); err != nil {
				return err
			}
			database, err := changelog.Open(ctx, h.conn, changelog.DeviceID{1})
			if err != nil {
				return err
			}
			return database.Capture(ctx, changelog.Selection{})
		}))
		must(b, h.close())
	}
	return db
}

func must(tb testing.TB, err error) {
	if err != nil {
		tb.Helper()
		tb.Fatal(err)
	}
}

// inTransactions runs statement for each of the argument lists, size of them
// in a transaction.
func inTransactions(tb testing.TB, db *sql.DB, size int, statement string, args [][]any) time.Duration {
	tb.Helper()
	start := time.Now()
	for group := range slices.Chunk(args, size) {
		tx, err := db.Begin()
		must(tb, err)
		prepared, err := tx.Prepare(statement)
		must(tb, err)
		for _, values := range group {
			_, err := prepared.Exec(values...)
			must(tb, err)
		}
		must(tb, tx.Commit())
	}
	return time.Since(start)
}

// compare runs both works b.N times and reports the median ratio and the
// median cost of a row.
func compare(b *testing.B, rows int, plain, tracked func(turn int) time.Duration) {
	b.Helper()
	ratio, plainTime, trackedTime := turns(b, plain, tracked)
	b.ReportMetric(ratio, "ratio")
	b.ReportMetric(trackedTime*1000/float64(rows), "µs/row")
	b.ReportMetric(plainTime*1000/float64(rows), "µs/plain-row")
}

// turns runs both works b.N times, turn by turn, and returns the medians of
// the turns' ratios and of both times, in milliseconds.
func turns(b *testing.B, plain, tracked func(turn int) time.Duration) (ratio, plainTime, trackedTime float64) {
	b.Helper()
	var ratios, plainTimes, trackedTimes []float64
	for turn := 0; b.Loop(); turn++ {
		var p, t time.Duration
		if turn%2 == 0 { // neither side is always the one that finds the caches warm
			p, t = plain(turn), tracked(turn)
		} else {
			t = tracked(turn)
			p = plain(turn)
		}
		ratios = append(ratios, float64(t)/float64(p))
		plainTimes = append(plainTimes, milliseconds(p))
		trackedTimes = append(trackedTimes, milliseconds(t))
	}
	b.ReportMetric(0, "ns/op") // the sum of both sides and their set-up says nothing
	return median(ratios), median(plainTimes), median(trackedTimes)
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

const benchRows = 5000

func BenchmarkCaptureInsert(b *testing.B) {
	benchmarkCapture(b, 100, func(turn int) (string, [][]any) {
		return insertNote, notesAfter((turn+1)*benchRows, benchRows, uint64(turn)+1)
	})
}

func BenchmarkCaptureInsertOneRow(b *testing.B) {
	benchmarkCapture(b, 1, func(turn int) (string, [][]any) {
		return insertNote, notesAfter(benchRows+turn*500, 500, uint64(turn)+1)
	})
}

func BenchmarkCaptureUpdate(b *testing.B) {
	rows := notes(benchRows, 0)
	benchmarkCapture(b, 100, func(turn int) (string, [][]any) {
		args := make([][]any, len(rows))
		for i := range rows {
			args[i] = []any{int64(turn % 2), int64(turn), rows[i][0]}
		}
		return updateNote, args
	})
}

// benchmarkCapture compares statements with capture and without. The first
// notes are there before the first turn.
func benchmarkCapture(b *testing.B, size int, work func(turn int) (string, [][]any)) {
	plain, tracked := benchApp(b, false), benchApp(b, true)
	for _, db := range []*sql.DB{plain, tracked} {
		inTransactions(b, db, 1000, insertNote, notes(benchRows, 0))
	}
	_, args := work(0)
	run := func(db *sql.DB) func(int) time.Duration {
		return func(turn int) time.Duration {
			statement, args := work(turn)
			return inTransactions(b, db, size, statement, args)
		}
	}
	compare(b, len(args), run(plain), run(tracked))
}

// benchPair makes two devices in one space, without background work.
func benchPair(b *testing.B) (a, z *testDevice, folder string) {
	b.Helper()
	folder = b.TempDir()
	a, z = newTestDevice(b, noteSchema), newTestDevice(b, noteSchema)
	a.create(folder)
	z.join(folder, a.invite())
	must(b, a.syncer.Sync(b.Context()))
	return a, z, folder
}

// BenchmarkFoldEncodeSeal compares turning the log of 5,000 inserted rows into
// sealed segments in the outbox with the plain insert of these rows.
func BenchmarkFoldEncodeSeal(b *testing.B) {
	a, _, _ := benchPair(b)
	plain := benchApp(b, false)
	compare(b, benchRows, func(turn int) time.Duration {
		return inTransactions(b, plain, 1000, insertNote, notesAfter((turn+1)*benchRows, benchRows, uint64(turn)+1))
	}, func(turn int) time.Duration {
		inTransactions(b, a.db, 1000, insertNote, notesAfter((turn+1)*benchRows, benchRows, uint64(turn)+1))
		start := time.Now()
		must(b, a.syncer.prepare(b.Context()))
		return time.Since(start)
	})
}

// BenchmarkMergeIntoEmpty compares merging puts into an empty database, segments
// of 1,000 rows, with the plain insert of the same rows in transactions of 1,000.
func BenchmarkMergeIntoEmpty(b *testing.B) {
	const rows, batch = 50000, 1000
	compare(b, rows, func(turn int) time.Duration {
		return inTransactions(b, benchApp(b, false), batch, insertNote, notes(rows, 1))
	}, func(turn int) time.Duration {
		a, z, _ := benchPair(b)
		for part := range slices.Chunk(notes(rows, 1), batch) {
			inTransactions(b, a.db, batch, insertNote, part)
			must(b, a.syncer.Sync(b.Context()))
		}
		start := time.Now()
		must(b, z.syncer.Sync(b.Context()))
		return time.Since(start)
	})
}

// BenchmarkFolderBytes compares the size of a segment of 1,000 rows with that
// of the same rows as CSV under zstd -3.
func BenchmarkFolderBytes(b *testing.B) {
	for _, rows := range []int{1000, 5000} {
		b.Run(strconv.Itoa(rows), func(b *testing.B) {
			a, _, folder := benchPair(b)
			var ratio, perRow float64
			turn := uint64(0)
			for b.Loop() {
				turn++
				args := notes(rows, turn)
				inTransactions(b, a.db, rows, insertNote, args)
				before := folderBytes(b, folder)
				must(b, a.syncer.Sync(b.Context()))
				written := folderBytes(b, folder) - before
				ratio, perRow = float64(written)/float64(csvBytes(b, args)), float64(written)/float64(rows)
			}
			b.ReportMetric(ratio, "ratio")
			b.ReportMetric(perRow, "B/row")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func csvBytes(tb testing.TB, rows [][]any) int {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	for _, row := range rows {
		fields := make([]string, len(row))
		for i, v := range row {
			fields[i] = fmt.Sprint(v)
		}
		must(tb, w.Write(fields))
	}
	w.Flush()
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(3)))
	must(tb, err)
	return len(encoder.EncodeAll(text.Bytes(), nil))
}

// folderBytes returns the size of all segments.
func folderBytes(tb testing.TB, folder string) (total int64) {
	paths, err := filepath.Glob(filepath.Join(folder, "devices", "*", "*.seg"))
	must(tb, err)
	for _, path := range paths {
		info, err := os.Stat(path)
		must(tb, err)
		total += info.Size()
	}
	return total
}

// BenchmarkLatency measures from a commit on one device until the row is
// visible on the other, same machine, watchers on. FlushDelay is 1 ms, so as
// not to be counted. The partner is a commit that another handle on the same
// database reads.
func BenchmarkLatency(b *testing.B) {
	folder := b.TempDir()
	a, z := newTestDevice(b, noteSchema), newTestDevice(b, noteSchema)
	for _, d := range []*testDevice{a, z} {
		d.options.Manual, d.options.FlushDelay = false, time.Millisecond
	}
	a.create(folder)
	z.join(folder, a.invite())
	plain := newTestDevice(b, noteSchema) // without a Syncer
	reader, err := OpenDB(plain.path)
	must(b, err)
	defer reader.Close()
	// Both sides look whether the row is there in the same way.
	from := func(writer, reader *testDevice) func(int) time.Duration {
		return func(turn int) time.Duration {
			start := time.Now()
			writer.exec("INSERT INTO note (id) VALUES (?)", turn)
			reader.waitFor(fmt.Sprintf("SELECT count(*) = %d FROM note", turn+1))
			return time.Since(start)
		}
	}
	_, plainTime, tracked := turns(b, from(plain, &testDevice{tb: b, db: reader}), from(a, z))
	b.ReportMetric(tracked, "ms")
	b.ReportMetric(plainTime, "plain-ms")
}

// editRows is below the million of DESIGN.md so that the benchmark takes
// seconds; BENCHMARKS.md has the command line for the million.
var editRows = flag.Int("edit.rows", 20_000, "rows of the larger space in BenchmarkOneEdit")

// BenchmarkOneEdit compares a pass that publishes one edit in a space of
// -edit.rows rows, 20,000 if not said otherwise, with one in a space of 1,000.
// With a million rows it takes about 40 s to set up.
func BenchmarkOneEdit(b *testing.B) {
	edit := func(rows int) func(int) time.Duration {
		d, keys := filledSpace(b, rows)
		return func(turn int) time.Duration {
			_, err := d.db.Exec(updateNote, turn, turn, keys[turn*7919%rows])
			must(b, err)
			start := time.Now()
			must(b, d.syncer.Sync(b.Context()))
			return time.Since(start)
		}
	}
	few, many := edit(1000), edit(*editRows)
	ratio, fewTime, manyTime := turns(b, few, many)
	b.ReportMetric(ratio, "ratio")
	b.ReportMetric(manyTime, "ms")
	b.ReportMetric(fewTime, "ms-of-1000")
}

// filledSpace founds a space on a database of many rows and publishes them.
// It returns the rows' keys.
func filledSpace(b *testing.B, rows int) (d *testDevice, keys []any) {
	b.Helper()
	const size = 10_000
	d = newTestDevice(b, noteSchema)
	for len(keys) < rows {
		part := notesAfter(len(keys), min(size, rows-len(keys)), uint64(len(keys)))
		inTransactions(b, d.db, size, insertNote, part)
		for _, row := range part {
			keys = append(keys, row[0])
		}
	}
	d.create(b.TempDir())
	must(b, d.syncer.Sync(b.Context()))
	return d, keys
}

// BenchmarkIdleScan measures a pass over 50 members with 64 segments each, of
// which nothing is new, beside plainly listing the same directories.
func BenchmarkIdleScan(b *testing.B) {
	const members, segments = 50, 64
	a := newTestDevice(b, noteSchema)
	a.create(b.TempDir())
	for i := range maxLive { // a has no more at rest
		a.exec("INSERT INTO note (id) VALUES (?)", i)
		must(b, a.syncer.Sync(b.Context()))
	}
	admitted := make([]*crypto.DeviceKeys, members-1)
	for i := range admitted {
		admitted[i] = admitMerged(b, a, segments)
	}
	must(b, a.syncer.Sync(b.Context())) // publishes the records, and a head that names the members
	for _, keys := range admitted {
		writeLevelHead(b, a, keys)
	}
	must(b, a.syncer.Sync(b.Context())) // reads their heads
	if n := len(a.syncer.roster.Members()); n != members {
		b.Fatalf("%d members", n)
	}
	names, err := filepath.Glob(filepath.Join(a.folder, "devices", "*", "*.seg"))
	must(b, err)
	if len(names) != (members-1)*segments+maxLive {
		b.Fatalf("%d segments", len(names))
	}
	_, list, scan := turns(b, func(int) time.Duration {
		start := time.Now()
		devices, err := os.ReadDir(filepath.Join(a.folder, "devices"))
		must(b, err)
		for _, device := range devices {
			_, err := os.ReadDir(filepath.Join(a.folder, "devices", device.Name()))
			must(b, err)
		}
		return time.Since(start)
	}, func(int) time.Duration {
		start := time.Now()
		must(b, a.syncer.Sync(b.Context()))
		return time.Since(start)
	})
	b.ReportMetric(scan, "ms")
	b.ReportMetric(list, "plain-ms")
	const most = 5 // by plain listing; 5 ms are three to four of them
	if b.N >= 20 && scan > most*list {
		b.Errorf("a pass takes %.1f ms, and to list the directories %.1f ms", scan, list)
	}
}

// admitMerged makes the space of d one member larger. The member's records are
// real; its log is names only, and merged already as far as d knows, so that
// any attempt to read a file of it fails. It returns the member's keys.
func admitMerged(b *testing.B, d *testDevice, segments int) *crypto.DeviceKeys {
	b.Helper()
	ctx, s := b.Context(), d.syncer
	invited, err := crypto.NewCode(crypto.InviteCode).InviteKeys()
	must(b, err)
	invite, err := s.roster.NewInvite(s.keys.entry().Device, invited, RoleAdmin, s.now(), s.now()+uint64(time.Hour.Milliseconds()))
	must(b, err)
	keys, err := crypto.NewDeviceKeys()
	must(b, err)
	s.know(invite)
	must(b, s.computeRoster())
	admit, err := s.roster.NewAdmit(invited, invite.Hash(), keys, s.now())
	must(b, err)
	s.know(admit)
	must(b, s.computeRoster())
	must(b, s.handle.conn.Transact(ctx, changelog.Ordinary, func() error {
		return errors.Join(s.remember(ctx, invite, admit), s.db.SetPosition(ctx, changelog.DeviceID(keys.ID()), uint64(segments), [32]byte{}))
	}))
	dir := filepath.Join(d.folder, "devices", keys.ID().String())
	must(b, os.MkdirAll(dir, 0o700))
	for batch := range segments {
		must(b, os.WriteFile(filepath.Join(dir, original(uint64(batch+1)).String()), []byte("x"), 0o600))
	}
	return keys
}

// writeLevelHead writes the head of a member that has read what d has.
func writeLevelHead(b *testing.B, d *testDevice, keys *crypto.DeviceKeys) {
	b.Helper()
	known, err := d.syncer.knowledge(b.Context())
	must(b, err)
	content, err := d.syncer.composeHead(b.Context(), known)
	must(b, err)
	content.Time = d.syncer.environment.Now().UnixMilli()
	plain, err := json.Marshal(content)
	must(b, err)
	file, err := crypto.SealHead(crypto.HeadHeader{Space: d.syncer.identity.space, Device: keys.ID(), Counter: 1}, plain, d.syncer.keys.newest(), keys)
	must(b, err)
	must(b, os.WriteFile(filepath.Join(d.folder, "devices", keys.ID().String(), "head"), file, 0o600))
}
