package segment

import (
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/sqlitesync/go/changelog"
)

// noteBatch returns a batch of n rows of the table that all measurements of the
// project use: 7 columns, a UUIDv7 as key, about 280 bytes of values a row, words
// of a made-up language that are as frequent as Zipf's law has it.
func noteBatch(n int) *changelog.Batch {
	random := rand.New(rand.NewPCG(20260101, 42))
	words := noteWords(random, 4000)
	sums := make([]float64, len(words))
	sum := 0.0
	for i := range words {
		sum += 1 / (float64(i) + 2.7)
		sums[i] = sum
	}
	text := func(length int) string {
		var b strings.Builder
		for b.Len() < length {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			i, _ := slices.BinarySearch(sums, random.Float64()*sum)
			b.WriteString(words[i])
			if random.IntN(11) == 0 {
				b.WriteByte(',')
			}
		}
		return b.String()
	}
	folders := strings.Fields("inbox work home travel recipes reading health money garden music school archive")
	shape := changelog.NewShape(changelog.Full, "note", []string{"id"},
		[]string{"folder", "title", "body", "done", "created", "updated"}) // sorted: body created done folder title updated
	b := &changelog.Batch{Device: changelog.DeviceID{1, 2, 3}, Number: 17, Seen: changelog.Vector{{4}: 12, {5}: 3}}
	for ms := int64(1767225600000); len(b.Changes) < n; {
		ms += 1 + random.Int64N(4000)
		stamp := changelog.Stamp{Time: ms, Device: b.Device, Batch: b.Number}
		b.Changes = append(b.Changes, changelog.Change{
			Shape: shape,
			Key:   changelog.Key{uuidv7(ms, random)},
			Values: []changelog.Value{
				text(180 + random.IntN(36)), ms, int64(0), folders[random.IntN(len(folders))], text(35 + random.IntN(8)), ms,
			},
			Stamp: stamp,
			Birth: stamp,
		})
	}
	return b
}

func noteWords(random *rand.Rand, n int) []string {
	onsets := strings.Fields("b c d f g h j l m n p r s t v w st tr pr ch sh th br cl gr fl")
	vowels := strings.Fields("a e i o u ea ou ai io ee")
	codas := []string{"", "", "", "n", "r", "s", "t", "d", "l", "m", "ng", "nt", "ck", "st", "rd"}
	one := func(of []string) string { return of[random.IntN(len(of))] }
	known := make(map[string]bool)
	var words []string
	for len(words) < n {
		word := ""
		for range 1 + random.IntN(3) {
			word += one(onsets) + one(vowels) + one(codas)
		}
		if !known[word] {
			known[word] = true
			words = append(words, word)
		}
	}
	slices.SortStableFunc(words, func(a, b string) int { return len(a) - len(b) }) // frequent words are short
	return words
}

func uuidv7(ms int64, random *rand.Rand) string {
	var u [16]byte
	binary.BigEndian.PutUint64(u[:], uint64(ms)<<16|random.Uint64()&0x0fff|0x7000)
	binary.BigEndian.PutUint64(u[8:], random.Uint64()&math.MaxInt64>>1|1<<63)
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// csvSize returns the bytes a row of what a person would compare with: the rows
// as CSV under zstd.
func csvSize(b *changelog.Batch) float64 {
	var text strings.Builder
	w := csv.NewWriter(&text)
	for _, c := range b.Changes {
		record := []string{fmt.Sprint(c.Key[0])}
		for _, v := range c.Values {
			record = append(record, fmt.Sprint(v))
		}
		w.Write(record)
	}
	w.Flush()
	encoder, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(3)))
	return float64(len(encoder.EncodeAll([]byte(text.String()), nil))) / float64(len(b.Changes))
}

// BenchmarkNotes measures each step alone, in nanoseconds a row of the note
// table, and the sizes in bytes a row.
func BenchmarkNotes(b *testing.B) {
	for _, rows := range []int{1000, 5000} {
		batch := noteBatch(rows)
		segments := must(Split(batch, 16<<20))
		body := must(Encode(segments[0]))
		packed := must(Pack(body))
		steps := []struct {
			name string
			run  func() error
		}{
			{"split", func() error { _, err := Split(batch, 16<<20); return err }},
			{"encode", func() error { _, err := Encode(segments[0]); return err }},
			{"pack", func() error { _, err := Pack(body); return err }},
			{"unpack", func() error { _, err := Unpack(packed); return err }},
			{"decode", func() error { _, err := Decode(body, batch.Device, batch.Number, batch.Number); return err }},
		}
		for _, step := range steps {
			b.Run(fmt.Sprintf("%s/%d", step.name, rows), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := step.run(); err != nil {
						b.Fatal(err)
					}
				}
				n := float64(rows)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
				switch step.name {
				case "encode":
					b.ReportMetric(float64(len(body))/n, "bytes/row")
				case "pack":
					b.ReportMetric(float64(len(packed))/n, "bytes/row")
					b.ReportMetric((float64(len(packed))/n+1900/n)/csvSize(batch), "of-csv.zst")
				}
			})
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
