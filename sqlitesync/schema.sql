CREATE TABLE sqlitesync_settings (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;

-- Batches on their way into the folder: the packed body until it is sealed,
-- then the bytes of the segment file until a later scan has found the file.
CREATE TABLE sqlitesync_outbox (
	batch     INTEGER PRIMARY KEY,
	rows      INTEGER NOT NULL,
	body      BLOB,
	sealed    BLOB,
	published INTEGER NOT NULL DEFAULT 0
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
