-- What triggers append: the key of a row that an app may have changed, and
-- when (a Julian day). The number of the table is negative if the row was
-- deleted or took another key. Nothing else: each further column or index here is
-- paid for by every write of the app. Columns k1, k2 … are added as keys need.
CREATE TABLE sqlitesync_log (
	id  INTEGER PRIMARY KEY,
	tbl INTEGER,
	at  REAL,
	k0
);

-- The tables that take part, by the number that triggers and clocks use. A table
-- with another key counts as another, so a name is that of the table and of the
-- columns of its key.
CREATE TABLE sqlitesync_tables (
	number     INTEGER PRIMARY KEY,
	name       TEXT NOT NULL UNIQUE,
	phase      INTEGER NOT NULL DEFAULT 0,  -- how far the rows that stood in it before have come
	definition TEXT NOT NULL DEFAULT '',    -- for which all that is kept was looked at
	incomplete INTEGER NOT NULL DEFAULT 0,  -- rows are missing that the logs have
	opaque     INTEGER NOT NULL DEFAULT 0,  -- 1: REPLACE can remove rows that no trigger notes, 2: and it was written to
	-- What Reconcile has not looked at yet.
	columns    TEXT NOT NULL,               -- those that it had before, in their order
	rebuilt    INTEGER NOT NULL DEFAULT 0,  -- it was dropped and made again
	written    INTEGER NOT NULL DEFAULT 0,  -- rows could show what was not noted
	removed    INTEGER NOT NULL DEFAULT 0,  -- rows could be gone without having been noted
	renamed    INTEGER NOT NULL DEFAULT 0   -- its rows have other names now
);

-- The names that tables had before.
CREATE TABLE sqlitesync_names (
	name   TEXT PRIMARY KEY,
	number INTEGER NOT NULL
) WITHOUT ROWID;

-- What columns were called before they were renamed, as far as values have proven
-- it: devices that have not renamed them yet go on to write under these names.
CREATE TABLE sqlitesync_columns (
	number INTEGER NOT NULL, -- of the table
	former TEXT NOT NULL,
	name   TEXT NOT NULL,
	PRIMARY KEY (number, former)
) WITHOUT ROWID;

-- Which columns a known change contains (FORMAT.md, 8.5).
CREATE TABLE sqlitesync_shapes (
	number INTEGER PRIMARY KEY,
	shape  BLOB NOT NULL UNIQUE
);

-- For the rows of each name in sqlitesync_tables, the sum of what is known of
-- them (Digest), NULL if it is to be computed anew. None: nothing is known.
CREATE TABLE sqlitesync_digests (
	tbl    TEXT PRIMARY KEY,
	digest BLOB,
	apart  INTEGER NOT NULL DEFAULT 0  -- others know something else by right: the table or a column had another name, here or where a segment was made again, or a log has forked
) WITHOUT ROWID;

-- The devices known here, and how far their logs have been merged. Device 0
-- is nobody, the author of baseline rows.
CREATE TABLE sqlitesync_devices (
	number INTEGER PRIMARY KEY,
	id     BLOB NOT NULL UNIQUE,
	batch  INTEGER NOT NULL DEFAULT 0,
	tail   BLOB
);
INSERT INTO sqlitesync_devices (number, id) VALUES (0, zeroblob(16));
