CREATE TABLE sqlitesync_settings (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;

-- This device's segment files, by name, which is the order of their batches.
CREATE TABLE sqlitesync_segments (
	name      TEXT PRIMARY KEY,
	state     INTEGER NOT NULL DEFAULT 0, -- 0: to be published, 1: published, 2: and found in the folder by a later scan
	hash      BLOB NOT NULL,              -- of the file
	tail      BLOB NOT NULL,              -- of the log after it
	rows      INTEGER NOT NULL,
	size      INTEGER NOT NULL,           -- of the file, in bytes
	baseline  INTEGER NOT NULL,           -- how many of the rows are of a baseline
	combined  INTEGER NOT NULL DEFAULT 0, -- and count although others of their rows are newer, as far as a compaction saw
	continued INTEGER NOT NULL DEFAULT 0, -- whether its last transaction goes on in the next
	unit      INTEGER NOT NULL,           -- it shares values in pieces with others: the first batch of these, else 0
	lost      INTEGER NOT NULL DEFAULT 0, -- how often it was gone from the folder, and made again
	remade    INTEGER,                    -- when it was made again last, in milliseconds since 1970
	vanished  INTEGER,                    -- since when it is gone from the folder, in milliseconds since 1970
	replaced  INTEGER,                    -- when a compacted range took its place, in milliseconds since 1970
	sealed    BLOB                        -- the file, until state 2
);

-- The membership records that this device has seen.
CREATE TABLE sqlitesync_records (
	hash TEXT PRIMARY KEY,
	data BLOB NOT NULL
) WITHOUT ROWID;
