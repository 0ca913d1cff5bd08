package main

import "github.com/spf13/cobra"

// helpTopics returns the pages of help that belong to no verb.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodesHelp},
		{Use: "json", Short: "What --json prints", Long: jsonHelp},
		{Use: "folder", Short: "Which folder is used, and where the keys are", Long: folderHelp},
	}
}

const exitCodesHelp = `Exit codes, which never change their meaning:

   0  done
   1  failed for another reason than those below
   2  the command line is wrong
   3  the database is in no space: create or join one
   4  the database, or the folder, is in a space already
   5  another program syncs the database just now
   6  the folder is missing, holds another space, or can't be written
   7  the code does not work
   8  this device's keys are not here, or the space does not know it
   9  the database that joins has rows of its own: --merge or --replace
  10  a newer version wrote this: update
  11  some problems are left: of a pass (sync), or to be mended (doctor)
  12  this device may not decide that, as by its role, or there is no such device or invite

watch ends with 0 when it is stopped by SIGINT or SIGTERM.`

const jsonHelp = `With --json each verb prints one JSON document, watch and export one object a line. Names are in lower case with
underscores, times in UTC as RFC 3339 has them, devices by their full id. Fields may be added, and none changes its
meaning. An error is an object {"error", "hint", "exit_code"} on the standard error stream.

create, join, sync; conflicts take and keep; devices rename, revoke, role and relay; invites withdraw:
    published, merged (changes of this pass), held, conflicts (in all), unsynced (table, reason, hint), warnings
make-tables: the same, and made (names of tables). restore: the same, and tables (table, rows: how many)
invite: id, code, role, expires. recovery: code. uninstall: device, keys (the file that stays)
invites: invites (id, role, expires)
status: state (idle or failing), running (another program syncs it), device, folder, to_publish (changes), to_merge
    (files), last_published, held, conflicts, collisions, undone (edits of a reader), foreign_keys, only and exclude (tables), unsynced, findings
doctor: healthy, findings (code, level: "mend" or "note", text, do, device, path in the folder, table, count)
devices: devices (id, name, role, self, admitted, last_seen, merged: its batches that are here, has: the newest of
    this device's batches that it has, error)
conflicts: conflicts, and show one of them (id, found, table, key, columns, collision, winner and loser: device, time,
    deleted, values)
verify: healthy, rows and changes (that were compared), whole (all logs could be read), faults (table, key, kind:
    altered, added, gone, missing, unfounded), more (faults that are not listed), digests, diverged (device, table,
    ranges of keys: after, through)
held: held (table, key, reason, device, time, shown: but without its parent)
history: table, key, shown, held (why, or ""), edited (since the last pass), changes (device, name, time, deleted, values,
    winner, conflict: in which it lost)
export: table, row
inspect: space, device, first, last (batches), generation, epoch, bytes, prev, tail, signed, problem, changes (kind,
    table, key, device, time, batch, values)
watch: event (standing by, watching, published, applied, conflict, problem, solved, member, succeeded, progress, refused,
    undone, diverged, altered), time, rows, tables, device, conflicts, found (what says that it is a copy), error,
    hint, phase (merging, publishing), files, of (so many files), missed (events that are not shown before this one)

Values of rows are as in the views sqlitesync_conflicts and sqlitesync_held: an INTEGER has no point and no exponent
and a REAL has one, infinity is 9e999, a BLOB is {"blob": "00ff"} in hexadecimal, and TEXT that is not UTF-8
{"text": "ff"}.

Without --json, colours and progress are shown on a terminal only; no colours if NO_COLOR is set.`

const folderHelp = `create and join are given the folder, and the database remembers it, for this device alone. Later verbs use the one
that was last seen to hold the database's space. If the folder has moved, say so once:

    sqlitesync sync notes.db --folder ~/Sync/notes

The database also remembers its name as a device and which tables it was set up with (--only, --exclude), from an
app too. So the command goes on as the app that set it up. sync --exclude and --include change which tables take part;
where an app syncs the database itself, its own options count.

This device's keys are in the directory sqlitesync of the user's configuration directory (on Linux ~/.config or
$XDG_CONFIG_HOME, on macOS ~/Library/Application Support, on Windows %AppData%), or where --keys says. They are never
in the database or in the folder.`
