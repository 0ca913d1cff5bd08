-- Changes that the app's tables can't hold: winners that are held, with the
-- reason, and what rows are combined from. All that is needed of one row,
-- newest first (n = 0, 1, 2 …); the reason stands with the newest, and so does
-- the row that is in the way of a held one: NULL if it is held for its own sake,
-- empty if nobody knows; and, from table_name on, what the view shows of a held
-- row. A row can have a reason and be shown all the same, but without its parent.
-- Tables are named as in sqlitesync_tables.
CREATE TABLE sqlitesync_kept (
	tbl    TEXT NOT NULL,
	row    BLOB NOT NULL,
	n      INTEGER NOT NULL,
	change BLOB NOT NULL,
	digest BLOB,              -- of all that is needed of the row, with the newest
	reason TEXT NOT NULL,
	rival  BLOB,
	shown  INTEGER NOT NULL,
	table_name TEXT,
	row_key    TEXT,
	device     TEXT,
	time       INTEGER,
	winner     TEXT,
	PRIMARY KEY (tbl, row, n)
) WITHOUT ROWID;

-- Changes that lost against one that their author had not seen. What stands from
-- table_name on says the same in a readable form, for the view. Ids are never
-- handed out twice.
CREATE TABLE sqlitesync_inbox (
	id     INTEGER PRIMARY KEY,
	tbl    TEXT NOT NULL,
	winner BLOB NOT NULL,
	loser  BLOB NOT NULL,
	found  INTEGER NOT NULL,
	table_name TEXT NOT NULL,
	row_key    TEXT NOT NULL,
	differs    TEXT,
	collision  INTEGER NOT NULL,
	winner_device TEXT,
	winner_time   INTEGER,
	winner_values TEXT,
	loser_device  TEXT,
	loser_time    INTEGER,
	loser_values  TEXT
);

CREATE INDEX sqlitesync_inbox_rows ON sqlitesync_inbox (tbl, row_key);

-- What the app wrote on a device that may not write, and that was taken back.
CREATE TABLE sqlitesync_edits (
	id         INTEGER PRIMARY KEY,
	table_name TEXT NOT NULL,
	row_key    TEXT NOT NULL,
	"values"   TEXT,
	time       INTEGER NOT NULL
);

-- The last days on which conflicts could be looked at. Those up to the one named
-- here were found before that day, or are gone.
CREATE TABLE sqlitesync_days (
	number   INTEGER PRIMARY KEY,
	date     TEXT NOT NULL UNIQUE,
	conflict INTEGER NOT NULL
);
INSERT INTO sqlitesync_days (date, conflict) VALUES ('', 0); -- before the first

-- The views are for everybody (doc.go of package sqlitesync). They use nothing
-- that SQLite 3.24 does not have: a view that can't be compiled would stand in
-- the way of ALTER TABLE.
CREATE VIEW sqlitesync_conflicts AS
	SELECT id, table_name, row_key, differs, collision,
		winner_device, strftime('%Y-%m-%d %H:%M:%f', winner_time / 1000.0, 'unixepoch') AS winner_time, winner_values,
		loser_device, strftime('%Y-%m-%d %H:%M:%f', loser_time / 1000.0, 'unixepoch') AS loser_time, loser_values,
		strftime('%Y-%m-%d %H:%M:%f', found / 1000.0, 'unixepoch') AS found_time
	FROM sqlitesync_inbox;

CREATE VIEW sqlitesync_held AS
	SELECT table_name, row_key, reason, device, strftime('%Y-%m-%d %H:%M:%f', time / 1000.0, 'unixepoch') AS time, winner AS "values", shown
	FROM sqlitesync_kept WHERE reason <> '';

CREATE VIEW sqlitesync_undone AS
	SELECT table_name, row_key, strftime('%Y-%m-%d %H:%M:%f', time / 1000.0, 'unixepoch') AS time, "values" FROM sqlitesync_edits;

-- Which parents the rows refer to that are held, or that show without a parent:
-- the parent's table and columns, and what its values have in common with all
-- that SQLite could hold equal to them. missing: the parent does not show.
CREATE TABLE sqlitesync_parents (
	tbl       TEXT NOT NULL,
	row       BLOB NOT NULL,
	n         INTEGER NOT NULL,
	reference TEXT NOT NULL,
	parent    TEXT NOT NULL,
	value     BLOB NOT NULL,
	missing   INTEGER NOT NULL,
	PRIMARY KEY (tbl, row, n)
) WITHOUT ROWID;
CREATE INDEX sqlitesync_parents_value ON sqlitesync_parents (parent, value);
