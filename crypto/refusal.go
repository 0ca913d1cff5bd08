package crypto

import "fmt"

// A Reason says why a record has no effect.
type Reason uint8

// The reasons. The first group makes a record a stranger, which is as good as absent. The second group leaves it in the
// history, without effect.
const (
	ReasonSpace     Reason = 1 + iota // of another space
	ReasonParent                      // descends from a refused record
	ReasonAuthor                      // its past has no such author
	ReasonInvite                      // its past has no such invite
	ReasonSignature                   // not signed with the right key
	ReasonKind                        // authentic, of a kind that this version does not know: see Roster.Supported

	ReasonNotAdmin   // its author had no right to write it
	ReasonAuthorVoid // what gave its author the right does not count
	ReasonInviteVoid // its invite does not count
	ReasonExpired    // made after the invite's expiry, as it says itself
	ReasonSpent      // its invite has admitted another device
	ReasonDevice     // its device was a member before
	ReasonClosed     // its invite was withdrawn, or its invite's author has lost the right to invite
	ReasonTarget     // it names an invite or device that was not there, or a role that the device had
	ReasonEpoch      // it starts an epoch that an earlier record has
	ReasonOverruled  // at the same time a more senior admin took away what it needs
)

// String returns a clause that completes "the record …".
func (r Reason) String() string {
	switch r {
	case ReasonSpace:
		return "belongs to another space"
	case ReasonParent:
		return "descends from a refused record"
	case ReasonAuthor:
		return "has an unknown author"
	case ReasonInvite:
		return "names an unknown invite"
	case ReasonSignature:
		return "is not signed with the right key"
	case ReasonKind:
		return "is of a kind that this version does not support"
	case ReasonNotAdmin:
		return "has an author without the right to write it"
	case ReasonAuthorVoid:
		return "has an author whose own admission does not count"
	case ReasonInviteVoid:
		return "uses an invite that does not count"
	case ReasonExpired:
		return "uses an expired invite"
	case ReasonSpent:
		return "uses an invite that has admitted another device"
	case ReasonDevice:
		return "admits a device that was a member before"
	case ReasonClosed:
		return "uses an invite that was withdrawn or has lost its author"
	case ReasonTarget:
		return "names an invite, a device or a role that it cannot be about"
	case ReasonEpoch:
		return "starts an epoch that an earlier record has"
	case ReasonOverruled:
		return "was overruled by a more senior admin at the same time"
	}
	return fmt.Sprintf("has no effect (reason %d)", uint8(r))
}

// A Refusal names a record without effect.
type Refusal struct {
	Record RecordHash
	Kind   Kind
	Author DeviceID
	Reason Reason
	Err    error // with ReasonKind a *KindError, else nil
}
