-- Changes that the app's tables can't hold: winners that are held, with the
-- reason, and what rows are combined from. All that is needed of one row,
-- newest first (n = 0, 1, 2 …); the reason stands with the newest, and so does
-- the row that is in the way of a held one: NULL if it is held for its own sake,
-- empty if nobody knows. Tables are named as in sqlitesync_tables.
CREATE TABLE sqlitesync_kept (
	tbl    TEXT NOT NULL,
	row    BLOB NOT NULL,
	n      INTEGER NOT NULL,
	change BLOB NOT NULL,
	reason TEXT NOT NULL,
	rival  BLOB,
	PRIMARY KEY (tbl, row, n)
) WITHOUT ROWID;

-- Changes that lost against one that their author had not seen.
CREATE TABLE sqlitesync_conflicts (
	id     INTEGER PRIMARY KEY,
	tbl    TEXT NOT NULL,
	winner BLOB NOT NULL,
	loser  BLOB NOT NULL,
	found  INTEGER NOT NULL
);
