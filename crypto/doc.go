// Package crypto is the room of sqlitesync that holds keys: who is who, who may write, and what only members can read.
// Most programs never import it; package sqlitesync does that for them.
//
// Bytes come in and bytes go out. The package reads no file, opens no socket, runs no SQL and asks no clock. The
// chapters "Signed files", "Keys and epochs", "Records and the roster" and "Invites and codes" of FORMAT.md are its
// specification.
//
// A file that comes from the folder goes through these steps, in this order:
//
//	segment, err := crypto.ParseSegment(file)            // decoded, nothing trusted
//	member, ok := roster.Member(segment.Header().Device) // may this device write?
//	err = segment.Verify(member.Keys.SigningKey())       // whole, and by this device
//	content, err := segment.Open(epoch, max)             // decrypted to the end
//
// [ParseHead] begins the same way for heads. [ParseRecord] and [ReadRoster] turn the signed records of a space into the
// [Roster]: a pure function of the set of records, the same on every device and in every order of arrival. Its New methods
// write the records that come next, and [Roster.Duty] says which an admin owes. A [Code]
// gives the keys of an invite, [InviteKeys], which open an [InviteFile] and sign one admit record. A [KeyEntry] is what
// a device keeps at home.
//
// Payloads, invites and wrapped keys are ordinary age files (c2sp.org/age) for one hybrid, post-quantum recipient each;
// signatures are Ed25519. No type of this package shows a secret when it is printed, whatever the verb, or logged with
// log/slog.
//
// Functions may be called from several goroutines at once. Values that are only read may be shared; [Segment] and
// [Head] remember that they were verified and belong to one goroutine.
package crypto
