package segment

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// badVectors has one vector or more for every rule of FORMAT.md, chapter 8, but
// for the limits on sums, which need large files (see TestSumsDamaged).
func badVectors() (all []*vector) {
	bad := func(name, reason, comment string, p parts) {
		all = append(all, &vector{name: name, comment: comment, reason: reason, bytes: p.body(), first: p.first, last: p.last})
	}
	altered := func(name, reason, comment string, alter func(p *parts)) {
		p := goodParts()
		alter(&p)
		bad(name, reason, comment, p)
	}
	grouped := func(name, reason, comment string, alter func(g *groupParts)) {
		g := goodGroup()
		alter(&g)
		bad(name, reason, comment, withGroup(g))
	}
	badWhole(altered)
	badDevices(altered)
	badBatches(altered)
	badPieces(altered)
	badShapes(altered)
	badGroups(altered, grouped)
	badStamps(grouped)
	badValues(grouped)
	return append(all, badPacks()...)
}

// An alteration adds a vector made of the good one by altering its parts.
type alteration func(name, reason, comment string, alter func(p *parts))

// A groupAlteration does the same with the fields of its group.
type groupAlteration func(name, reason, comment string, alter func(g *groupParts))

func badWhole(add alteration) {
	whole := goodParts().body()
	only := func(n int) func(p *parts) {
		return func(p *parts) { *p = parts{horizon: whole[:n], first: p.first, last: p.last} }
	}
	add("empty", "horizon: ends early", "nothing at all", only(0))
	add("horizon", "horizon: not 0", "horizon 1, of a later version", func(p *parts) { p.horizon = uvarints(1) })
	add("left-over", "end: bytes left over", "a byte after the groups", func(p *parts) { p.end = []byte{0} })
	add("cut-off", "groups: ends early", "the last byte is missing", only(len(whole)-1))
	add("cut-off-half", "shapes: ends early", "the second half is missing", only(len(whole)/2))
	add("varint-long", "horizon: varint not in its shortest form", "a 0 in two bytes", func(p *parts) { p.horizon = []byte{0x80, 0} })
	add("varint-endless", "horizon: varint above 64 bits", "a varint of eleven bytes", func(p *parts) {
		p.horizon = append(bytes.Repeat([]byte{0x80}, 10), 1)
	})
	add("varint-65-bits", "horizon: varint above 64 bits", "a varint of ten bytes with 65 bits", func(p *parts) {
		p.horizon = append(bytes.Repeat([]byte{0xff}, 9), 2)
	})
	add("varint-cut-off", "horizon: ends early", "a varint that does not end", func(p *parts) { *p = parts{horizon: []byte{0x80}, first: 17, last: 17} })
}

func badDevices(add alteration) {
	with := func(ids ...changelog.DeviceID) func(p *parts) {
		return func(p *parts) {
			p.devices = uvarints(uint64(len(ids)))
			for _, id := range ids {
				p.devices = append(p.devices, id[:]...)
			}
		}
	}
	add("devices-none", "devices: no author", "no device", with())
	add("devices-author", "devices: the first is not the author", "another device first", with(deviceB, deviceA))
	add("devices-author-twice", "devices: author stands twice", "the author twice", with(deviceA, deviceA))
	add("devices-zero", "devices: id of zeros", "a device of zeros", with(deviceA, changelog.DeviceID{}))
	add("devices-twice", "devices: not in order", "a device twice", with(deviceA, deviceB, deviceB))
	add("devices-order", "devices: not in order", "devices by falling bytes", with(deviceA, deviceC, deviceB))
	add("devices-unused", "end: device that nothing refers to", "a third device without use", with(deviceA, deviceB, deviceC))
	add("devices-count", "devices: count above its limit", "1,001 devices", func(p *parts) { p.devices = uvarints(1001) })
	add("devices-cut-off", "devices: ends early", "1,000 devices in a short body", func(p *parts) { p.devices = uvarints(1000) })
}

func badBatches(add alteration) {
	with := func(fields ...uint64) func(p *parts) {
		return func(p *parts) { p.batches = uvarints(fields...) }
	}
	ranged := func(fields ...uint64) func(p *parts) {
		return func(p *parts) { p.batches, p.last = uvarints(fields...), 40 }
	}
	add("batches-none", "batches: none", "no batch", with(0))
	add("batches-count", "batches: count above its limit", "65,537 batches", with(65537))
	add("batches-cut-off", "batches: ends early", "65,536 batches in a short body", with(65536))
	add("batches-above", "batches: number above the segment's last", "another batch than the header's", with(1, 1, 0, 1, 2, 3))
	add("batches-two", "batches: number above the segment's last", "two batches where the header has one", with(2, 0, 0, 1, 2, 3, 1, 0, 0))
	add("batches-twice", "batches: number stands twice", "one batch of a range twice", ranged(2, 0, 0, 1, 2, 3, 0, 0, 0))
	add("batches-far", "batches: number above the segment's last", "a difference of 2^64-1", ranged(2, 0, 0, 1, 2, 3, math.MaxUint64, 0, 0))
	add("batches-flag", "batches: unknown flag", "flag bit 1", with(1, 0, 2, 1, 2, 3))
	add("seen-count", "batches: count above its limit", "1,001 entries in a vector", with(1, 0, 0, 1001))
	add("seen-cut-off", "batches: ends early", "1,000 entries in a short body", with(1, 0, 0, 1000))
	add("seen-none", "batches: seen vector not in order, or with no device or the author", "no device in a vector", with(1, 0, 0, 1, 0, 3))
	add("seen-author", "batches: seen vector not in order, or with no device or the author", "the author in a vector", with(1, 0, 0, 1, 1, 3))
	add("seen-twice", "batches: seen vector not in order, or with no device or the author", "a device twice in a vector", with(1, 0, 0, 2, 2, 3, 2, 4))
	add("seen-unknown", "batches: reference to an unknown device", "a vector with the third of two devices", with(1, 0, 0, 1, 3, 3))
	add("seen-zero", "batches: entry of a seen vector that says nothing new", "batch 0 in the first vector", with(1, 0, 0, 1, 2, 0))
	add("seen-same", "batches: entry of a seen vector that says nothing new", "an entry that the vector before has", ranged(2, 0, 0, 1, 2, 3, 1, 0, 1, 2, 3))
	add("seen-high", "batches: batch of a seen vector out of range", "batch 2^48 in a vector", with(1, 0, 0, 1, 2, 1<<48))
}

func badPieces(add alteration) {
	with := func(offset, length uint64, content string) func(p *parts) {
		return func(p *parts) {
			hash := sha("x")
			p.pieces = cat(uvarints(1), hash[:], uvarints(offset, length), []byte(content))
		}
	}
	add("pieces-count", "pieces: ends early", "more pieces than a body can hold", func(p *parts) { p.pieces = uvarints(1 << 20) })
	add("pieces-count-limit", "pieces: count above its limit", "2^64-1 pieces", func(p *parts) { p.pieces = uvarints(math.MaxUint64) })
	add("pieces-empty", "pieces: piece out of range", "a piece of no byte", with(0, 0, ""))
	add("pieces-long", "pieces: length above its limit", "a piece of 16 MiB and a byte", with(0, 16<<20+1, ""))
	add("pieces-cut-off", "pieces: ends early", "a piece of 16 MiB in a short body", with(0, 16<<20, ""))
	add("pieces-end", "pieces: piece out of range", "a piece that ends a byte after 1 GiB", with(1<<30-1, 2, "xx"))
	add("pieces-offset", "pieces: piece out of range", "an offset of 2^64-1", with(math.MaxUint64, 2, "xx"))
}

func badShapes(add alteration) {
	with := func(kind byte, table string, key, columns []string) func(p *parts) {
		return func(p *parts) { p.shapes = append(uvarints(1), shapeBytes(kind, table, key, columns)...) }
	}
	names := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("%04d", i))
		}
		return names
	}
	id := []string{"id"}
	long := strings.Repeat("n", 1024)
	add("shapes-count", "shapes: count above its limit", "4,097 shapes", func(p *parts) { p.shapes = uvarints(4097) })
	add("shapes-cut-off", "shapes: ends early", "4,096 shapes in a short body", func(p *parts) { p.shapes = uvarints(4096) })
	add("shapes-twice", "shapes: shape stands twice", "one shape twice", func(p *parts) {
		p.shapes = cat(uvarints(2), noteShape.Append(nil), noteShape.Append(nil))
	})
	add("shape-kind", "shapes: unknown kind of change", "kind 3", with(3, "note", id, nil))
	add("shape-table", "shapes: table without a name", "an empty name of a table", with(1, "", id, nil))
	add("shape-table-long", "shapes: length above its limit", "a name of 1,025 bytes", with(1, long+"n", id, nil))
	add("shape-table-case", "shapes: name not canonical", "an upper-case letter", with(1, "Note", id, nil))
	add("shape-key-none", "shapes: number of key columns out of range", "no key column", with(1, "note", nil, nil))
	add("shape-key-count", "shapes: count above its limit", "65 key columns", with(1, "note", names(65), nil))
	add("shape-key-long", "shapes: length above its limit", "a key column's name of 1,025 bytes", with(1, "note", []string{long + "n"}, nil))
	add("shape-key-case", "shapes: name not canonical", "an upper-case letter in a key column", with(1, "note", []string{"iD"}, nil))
	add("shape-key-twice", "shapes: column stands twice", "a key column twice", with(1, "note", []string{"id", "id"}, nil))
	add("shape-columns-count", "shapes: count above its limit", "2,001 columns", with(1, "note", id, names(2001)))
	add("shape-column-long", "shapes: length above its limit", "a column's name of 1,025 bytes", with(1, "note", id, []string{long + "n"}))
	add("shape-column-case", "shapes: name not canonical", "an upper-case letter in a column", with(1, "note", id, []string{"bodY"}))
	add("shape-column-twice", "shapes: column stands twice", "a column twice", with(1, "note", id, []string{"a", "a"}))
	add("shape-column-key", "shapes: column stands twice", "a column that is in the key", with(1, "note", id, []string{"id"}))
	add("shape-columns-order", "shapes: columns out of order", "columns by falling bytes", with(1, "note", id, []string{"done", "body"}))
	add("shape-delete", "shapes: delete with columns", "a delete with a column", with(0, "note", id, []string{"body"}))
}

func badGroups(add alteration, addGroup groupAlteration) {
	other := goodGroup()
	other.keys = cat([]byte{changelog.KindText, changelog.KindText}, text("n3"), text("n4"))
	add("groups-none", "groups: shape without a group", "a shape without a group", func(p *parts) { p.groups = uvarints(0) })
	add("groups-count", "groups: count above its limit", "more groups than shapes and rows allow", func(p *parts) { p.groups = uvarints(5000) })
	add("groups-split", "groups: not in order", "the rows of a shape in two groups, neither of them full", func(p *parts) {
		p.groups = cat(uvarints(2), goodGroup().bytes(), other.bytes())
	})
	add("groups-order", "groups: not in order", "the group of the second shape first", func(p *parts) {
		second := goodGroup()
		second.shape = uvarints(1)
		p.shapes = cat(uvarints(2), shapeBytes(1, "list", []string{"id"}, []string{"body", "done"}), noteShape.Append(nil))
		p.groups = cat(uvarints(2), second.bytes(), goodGroup().bytes())
	})
	addGroup("group-shape", "groups: unknown shape", "the second of one shape", func(g *groupParts) { g.shape = uvarints(1) })
	addGroup("group-rows-none", "groups: group without rows", "no row", func(g *groupParts) { *g = groupParts{shape: uvarints(0), rows: uvarints(0), keys: make([]byte, 10)} })
	addGroup("group-rows-count", "groups: count above its limit", "65,537 rows", func(g *groupParts) { g.rows = uvarints(65537) })
	addGroup("group-rows-cut-off", "groups: ends early", "65,536 rows in a short body", func(g *groupParts) { g.rows = uvarints(65536) })
	addGroup("row-twice", "groups: row stands twice in one batch", "one key twice", func(g *groupParts) {
		g.keys = cat([]byte{changelog.KindText, changelog.KindText}, text("n1"), text("n1"))
	})
	addGroup("row-twice-real", "groups: row stands twice in one batch", "the keys 1 and 1.0", func(g *groupParts) {
		g.keys = cat([]byte{changelog.KindInteger, changelog.KindReal}, varints(1), realBytes(1))
	})
	add("row-twice-shapes", "groups: row stands twice in one batch", "a put and a delete of one row", func(p *parts) {
		p.shapes = cat(uvarints(2), noteShape.Append(nil), shapeBytes(0, "note", []string{"id"}, nil))
		p.groups = cat(uvarints(2), goodGroup().bytes(), groupParts{
			shape: uvarints(1), rows: uvarints(1), times: varints(5), devices: uvarints(1), batches: uvarints(17),
			keys: cat([]byte{changelog.KindText}, text("n2")),
		}.bytes())
	})
}

func badStamps(add groupAlteration) {
	with := func(time int64, device, batch uint64) func(g *groupParts) {
		return func(g *groupParts) {
			g.times, g.devices, g.batches = varints(1767225600000, time-1767225600000), uvarints(1, device), uvarints(17, batch)
		}
	}
	born := func(fields ...uint64) func(g *groupParts) {
		return func(g *groupParts) { g.births = cat([]byte{birthIsStamp, birthFollows}, uvarints(fields...)) }
	}
	add("stamp-time-zero", "groups: time out of range", "time 0 of a device", with(0, 1, 17))
	add("stamp-time-negative", "groups: time out of range", "time -1", with(-1, 1, 17))
	add("stamp-time-high", "groups: time out of range", "time 2^62", with(1<<62, 1, 17))
	add("stamp-no-device", "groups: stamp without a device", "a time and a batch of no device", with(5, 0, 17))
	add("stamp-baseline-batch", "groups: time out of range", "a baseline with a batch", with(0, 0, 17))
	add("stamp-device", "groups: reference to an unknown device", "the third of two devices", with(5, 3, 17))
	add("stamp-batch-zero", "groups: stamp's batch out of range", "batch 0 of another device", with(5, 2, 0))
	add("stamp-batch-high", "groups: stamp's batch out of range", "batch 2^48 of another device", with(5, 2, 1<<48))
	add("stamp-batch-author", "groups: author's stamp names no batch of the segment", "another batch of the author", with(5, 1, 16))
	add("birth-byte", "groups: unknown byte for a birth", "2 where a birth is announced", func(g *groupParts) { g.births = []byte{0, 2} })
	add("birth-same", "groups: birth follows that is the stamp", "a birth that follows though it is the stamp", born(1767225600000, 1, 17))
	add("birth-newer-time", "groups: birth newer than its stamp", "a birth of a later time", born(1767225600001, 1, 17))
	add("birth-newer-device", "groups: birth newer than its stamp", "a birth of the same time by a higher device", born(1767225600000, 2, 1))
	add("birth-newer-batch", "groups: birth newer than its stamp", "a birth of the same time in a later batch", born(1767225600000, 1, 18))
	add("birth-time", "groups: birth: time out of range", "a birth of the time 2^64-1", born(math.MaxUint64, 1, 17))
	add("birth-no-device", "groups: birth: stamp without a device", "a birth of no device", born(5, 0, 17))
	add("birth-device", "groups: reference to an unknown device", "a birth of the third of two devices", born(5, 3, 17))
	add("birth-batch", "groups: birth: stamp's batch out of range", "a birth in batch 0", born(5, 1, 0))
}

func badValues(add groupAlteration) {
	keyed := func(kind byte, encoded []byte) func(g *groupParts) {
		return func(g *groupParts) { g.keys = cat([]byte{changelog.KindText, kind}, text("n1"), encoded) }
	}
	valued := func(kind byte, encoded []byte) func(g *groupParts) {
		return func(g *groupParts) {
			g.columns = cat(
				[]byte{changelog.KindText, kind}, text("milk"), encoded,
				[]byte{changelog.KindInteger, changelog.KindInteger}, varints(0, 0),
			)
		}
	}
	ref := func(length uint64) []byte {
		hash := sha("x")
		return append(uvarints(length), hash[:]...)
	}
	add("value-kind", "groups: unknown kind of value", "kind 7", valued(7, nil))
	add("value-nan", "groups: NaN", "a quiet NaN", valued(changelog.KindReal, realBytes(math.NaN())))
	add("value-nan-signalling", "groups: NaN", "a signalling NaN with a sign", valued(changelog.KindReal, []byte{0xff, 0xf0, 0, 0, 0, 0, 0, 1}))
	add("value-integer", "groups: varint not in its shortest form", "an integer in too many bytes", valued(changelog.KindInteger, []byte{0x81, 0}))
	add("value-text-long", "groups: length above its limit", "a text of 16 MiB and a byte", valued(changelog.KindText, uvarints(16<<20+1)))
	add("value-blob-long", "groups: length above its limit", "a blob of 16 MiB and a byte", valued(changelog.KindBlob, uvarints(16<<20+1)))
	add("value-text-cut-off", "groups: ends early", "a text of 16 MiB in a short body", valued(changelog.KindText, uvarints(16<<20)))
	add("value-blob-cut-off", "groups: ends early", "a blob of 16 MiB in a short body", valued(changelog.KindBlob, uvarints(16<<20)))
	add("value-ref-empty", "groups: length of a value in pieces out of range", "a value in pieces of no byte", valued(kindLargeText, ref(0)))
	add("value-ref-long", "groups: length of a value in pieces out of range", "a value in pieces of 1 GiB and a byte", valued(kindLargeBlob, ref(1<<30+1)))
	add("key-null", "groups: NULL in a key", "NULL in a key", keyed(changelog.KindNull, nil))
	add("key-nan", "groups: NaN", "NaN in a key", keyed(changelog.KindReal, realBytes(math.NaN())))
	add("key-ref-text", "groups: value in pieces in a key", "a text in pieces in a key", keyed(kindLargeText, ref(5)))
	add("key-ref-blob", "groups: value in pieces in a key", "a blob in pieces in a key", keyed(kindLargeBlob, ref(5)))
}

func badPacks() (all []*vector) {
	body := goodParts().body()
	n := len(body)
	whole := frame(byte(n), block(true, rawBlock, n, body))
	add := func(name, reason, comment string, packed []byte) {
		all = append(all, &vector{name: "pack-" + name, comment: comment, packed: true, reason: reason, bytes: packed})
	}
	const length = "body of another length than stated"
	add("empty", "ends early", "nothing at all", nil)
	add("cut-off", "ends early", "less than method and length", []byte{0, 0, 0, 0})
	add("method", "unknown method", "method 2", pack(2, n, whole))
	add("length", "length above its limit", "64 MiB and a byte", pack(methodZstd, 64<<20+1, whole))
	add("stored-short", length, "a stored body that is a byte too short", pack(methodStored, n, body[:n-1]))
	add("stored-long", length, "a stored body with a byte more", pack(methodStored, n, append(bytes.Clone(body), 0)))
	add("zstd-states-less", length, "a frame that states a byte less than the length", pack(methodZstd, n+1, whole))
	add("zstd-more", "ends early", "a frame whose block is longer than what stands there", pack(methodZstd, n, whole[:len(whole)-1]))
	add("zstd-magic", "invalid input: magic number mismatch", "no frame", pack(methodZstd, n, body))
	add("zstd-two", "bytes after the frame", "two frames", pack(methodZstd, n, append(bytes.Clone(whole), frame(0, block(true, rawBlock, 0, nil))...)))
	add("zstd-left-over", "bytes after the frame", "a byte after the frame", pack(methodZstd, n, append(bytes.Clone(whole), 0)))
	add("zstd-skippable", "skippable frame", "a skippable frame before the frame", pack(methodZstd, n,
		cat([]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7}, whole)))
	add("zstd-dictionary", "frame with a dictionary", "a frame with the dictionary 1", pack(methodZstd, n,
		cat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x21, 1, byte(n)}, block(true, rawBlock, n, body))))
	add("zstd-window", "window size exceeded", "a window of 128 MiB", pack(methodZstd, n,
		cat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3}, block(true, rawBlock, n, body))))
	add("zstd-bomb", "decompressed size exceeds configured limit", "a frame that states no length, of 100 blocks of 128 KiB", pack(methodZstd, 1000,
		cat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 10 << 3}, bytes.Repeat(block(false, repeatBlock, 128<<10, []byte{0}), 99), block(true, repeatBlock, 128<<10, []byte{0}))))
	add("zstd-short", length, "a frame that states no length and has a byte less", pack(methodZstd, n+1,
		cat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0}, block(true, rawBlock, n, body))))
	add("zstd-blocks", length, "64 MiB of one block that states no length", pack(methodZstd, 64<<20,
		cat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0}, block(true, rawBlock, n, body))))
	add("zstd-checksum", "ends early", "a frame without the checksum that it announces", pack(methodZstd, n,
		cat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x24, byte(n)}, block(true, rawBlock, n, body))))
	add("zstd-block", "invalid input: reserved block type encountered", "a block of the reserved type", pack(methodZstd, n,
		frame(byte(n), block(true, wrongBlock, n, body))))
	return all
}

func realBytes(f float64) []byte { return changelog.AppendValue(nil, f)[1:] }
