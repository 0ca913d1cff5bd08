package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

// restoreRows is below the million of BENCHMARKS.md, which takes a minute.
var restoreRows = flag.Int("restore.rows", 20_000, "rows of the space that BenchmarkRestore restores")

const benchSchema = `CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, folder TEXT, title TEXT, body TEXT,
	done INTEGER, created INTEGER, updated INTEGER)`

// BenchmarkRestore compares the verb restore, from the code to the report, with
// the plain insert of the rows, 1,000 a transaction. The rows are of about 300 bytes.
func BenchmarkRestore(b *testing.B) {
	dir := b.TempDir()
	folder, keys, source := filepath.Join(dir, "folder"), filepath.Join(dir, "keys"), filepath.Join(dir, "source.db")
	if err := os.Mkdir(folder, 0o700); err != nil {
		b.Fatal(err)
	}
	verb := func(input string, args ...string) string {
		var out, errs strings.Builder
		if code := run(b.Context(), append(args, "--keys", keys), streams{in: strings.NewReader(input), out: &out, errs: &errs}); code != exitDone {
			b.Fatalf("%s: exit code %d, %s", args[0], code, errs.String())
		}
		return out.String()
	}
	insertNotes(b, source)
	verb("", "create", source, folder)
	code, _, _ := strings.Cut(verb("", "recovery", source), "\n")
	var ratios, restored []float64
	for turn := 0; b.Loop(); turn++ {
		plain := insertNotes(b, filepath.Join(dir, fmt.Sprintf("plain%d.db", turn)))
		began := time.Now()
		report := verb(code, "restore", folder, filepath.Join(dir, fmt.Sprintf("restored%d.db", turn)))
		took := time.Since(began)
		if !strings.Contains(report, fmt.Sprintf(": %d rows in 1 table.", *restoreRows)) {
			b.Fatal(report)
		}
		ratios, restored = append(ratios, took.Seconds()/plain.Seconds()), append(restored, took.Seconds())
	}
	slices.Sort(ratios)
	slices.Sort(restored)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(restored[len(restored)/2], "s")
}

// insertNotes makes a database with rows, and returns how long it took to insert them.
func insertNotes(b *testing.B, path string) (took time.Duration) {
	db, err := sqlitesync.OpenDB(path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(benchSchema); err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	text := func(length int) string {
		var words strings.Builder
		for words.Len() < length {
			fmt.Fprintf(&words, "%x ", min(random.IntN(2000), random.IntN(2000)))
		}
		return words.String()
	}
	for first := 0; first < *restoreRows; first += 1000 {
		rows := make([][]any, min(1000, *restoreRows-first))
		for i := range rows {
			rows[i] = []any{fmt.Sprintf("%012x-%x", first+i, random.Uint64()), text(6), text(41), text(200), random.IntN(2), first + i, first + i}
		}
		began := time.Now()
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		insert, err := tx.Prepare("INSERT INTO note VALUES (?, ?, ?, ?, ?, ?, ?)")
		if err != nil {
			b.Fatal(err)
		}
		for _, row := range rows {
			if _, err := insert.Exec(row...); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
		took += time.Since(began)
	}
	return took
}
