// Package segment is the room of the segment codec: what a segment says, as
// bytes and back. Most programs never import it; they use package sqlitesync.
//
// What comes in when a device writes: a [changelog.Batch]. [Split] makes one or
// more [Segment] values of it, [Encode] a body of each, [Pack] compresses the
// body. What goes out is the plaintext that package crypto seals.
//
// When a device reads, the same way leads back: [Unpack], [Decode], and a
// [Joiner] for large values that were cut into pieces.
//
// The bytes are specified in FORMAT.md, chapter 8, beside package sqlitesync.
// They are canonical: one Segment has one body, and Decode takes no other, so
// that Encode(Decode(body)) is body. Bodies are written by members of a space,
// but a member may be broken or malicious: Decode and Unpack never panic and
// bound every allocation, see [MaxBody].
//
// Nothing here knows of files, keys or SQL. All functions may be called
// concurrently.
package segment
