// Package folder is the room of sqlitesync that knows the shared folder on disk: its names, how a file is published
// so that a power cut cannot tear it, and how hostile ground is read. Most programs never import it.
//
// In come a directory that a file-sync service carries between machines, and bytes to publish; out go names and
// bytes. The package knows nothing of SQL, keys or changes: whether bytes are genuine is decided by those who read
// them, and a name is never more than a hint.
//
//	<folder>/
//	  README.txt                    for people
//	  sqlitesync.json               the marker: which space this folder is said to hold
//	  devices/<32 hex>/             one directory per device; only that device writes there
//	    <first>-<last>-<gen>.seg    immutable
//	    head                        replaced in place
//	    .~sqs-<16 hex>.tmp          being written, or left by a crash
//	  roster/<64 hex>               immutable
//	  invites/<32 hex>.age          immutable, removed when withdrawn
//
// Rules that hold everywhere:
//
//   - Nothing is followed out of the folder. All access goes through an [os.Root]; symbolic links, FIFOs and devices
//     under names of ours are refused ([ErrNotRegular]), and a size is checked before a file is read ([ErrTooLarge]).
//   - What has no name of ours is listed or passed over, and never touched.
//   - A device changes only what is its own: [Own] is the only way to change anything, and refuses all else.
//   - An immutable file is never replaced. Publishing the same bytes again succeeds, other bytes are [ErrTwin].
//   - Every temporary file stands in the directory of the device that writes, also while it is on its way to roster/
//     or invites/, so that each device can clean up after its own crashes without touching another's work.
//   - A file that is not there is [fs.ErrNotExist], but only while the folder itself is. When the folder is gone the
//     error is [ErrMissing] and never [fs.ErrNotExist]: absence must not be concluded from an unplugged drive.
package folder
