CREATE TABLE sqlitesync_settings (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;

-- Batches on their way into the folder: the bytes of the segment file, until a
-- scan after its publication has found the file.
CREATE TABLE sqlitesync_outbox (
	batch     INTEGER PRIMARY KEY,
	rows      INTEGER NOT NULL,
	published INTEGER NOT NULL DEFAULT 0,
	sealed    BLOB NOT NULL
);

-- The membership records that this device has seen.
CREATE TABLE sqlitesync_records (
	hash TEXT PRIMARY KEY,
	data BLOB NOT NULL
) WITHOUT ROWID;

-- This device's live segment files, for the manifest in its head.
CREATE TABLE sqlitesync_segments (
	name TEXT PRIMARY KEY,
	hash BLOB NOT NULL
) WITHOUT ROWID;
