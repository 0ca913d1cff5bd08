CREATE TRIGGER "sqlitesync_1_delete" AFTER DELETE ON "counter" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (-1, julianday('now'), OLD."id"); END
CREATE TRIGGER "sqlitesync_1_insert" AFTER INSERT ON "counter" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (1, julianday('now'), NEW."id"); END
CREATE TRIGGER "sqlitesync_1_rekey" AFTER UPDATE ON "counter" WHEN OLD."id" IS NOT NEW."id" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (-1, julianday('now'), OLD."id"); END
CREATE TRIGGER "sqlitesync_1_update" AFTER UPDATE ON "counter" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (1, julianday('now'), NEW."id"); END
CREATE TRIGGER "sqlitesync_2_delete" AFTER DELETE ON "member" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0, k1) VALUES (-2, julianday('now'), OLD."person", OLD."team"); END
CREATE TRIGGER "sqlitesync_2_insert" AFTER INSERT ON "member" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0, k1) VALUES (2, julianday('now'), NEW."person", NEW."team"); END
CREATE TRIGGER "sqlitesync_2_rekey" AFTER UPDATE ON "member" WHEN OLD."person" IS NOT NEW."person" OR OLD."team" IS NOT NEW."team" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0, k1) VALUES (-2, julianday('now'), OLD."person", OLD."team"); END
CREATE TRIGGER "sqlitesync_2_update" AFTER UPDATE ON "member" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0, k1) VALUES (2, julianday('now'), NEW."person", NEW."team"); END
CREATE TRIGGER "sqlitesync_3_delete" AFTER DELETE ON "note" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (-3, julianday('now'), OLD."id"); END
CREATE TRIGGER "sqlitesync_3_insert" AFTER INSERT ON "note" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (3, julianday('now'), NEW."id"); END
CREATE TRIGGER "sqlitesync_3_rekey" AFTER UPDATE ON "note" WHEN OLD."id" IS NOT NEW."id" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (-3, julianday('now'), OLD."id"); END
CREATE TRIGGER "sqlitesync_3_update" AFTER UPDATE ON "note" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (3, julianday('now'), NEW."id"); END
CREATE TRIGGER "sqlitesync_4_delete" AFTER DELETE ON "odd ""name""" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (-4, julianday('now'), OLD."select"); END
CREATE TRIGGER "sqlitesync_4_insert" AFTER INSERT ON "odd ""name""" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (4, julianday('now'), NEW."select"); END
CREATE TRIGGER "sqlitesync_4_rekey" AFTER UPDATE ON "odd ""name""" WHEN OLD."select" IS NOT NEW."select" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (-4, julianday('now'), OLD."select"); END
CREATE TRIGGER "sqlitesync_4_replace_insert_0" BEFORE INSERT ON "odd ""name""" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) SELECT 4, julianday('now'), "select" FROM "odd ""name""" WHERE "ü 🙂" = NEW."ü 🙂" COLLATE BINARY; END
CREATE TRIGGER "sqlitesync_4_replace_update_0" BEFORE UPDATE OF "ü 🙂" ON "odd ""name""" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) SELECT 4, julianday('now'), "select" FROM "odd ""name""" WHERE "ü 🙂" = NEW."ü 🙂" COLLATE BINARY; END
CREATE TRIGGER "sqlitesync_4_update" AFTER UPDATE ON "odd ""name""" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (4, julianday('now'), NEW."select"); END
CREATE TRIGGER "sqlitesync_5_delete" AFTER DELETE ON "person" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (-5, julianday('now'), OLD."id"); END
CREATE TRIGGER "sqlitesync_5_insert" AFTER INSERT ON "person" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (5, julianday('now'), NEW."id"); END
CREATE TRIGGER "sqlitesync_5_rekey" AFTER UPDATE ON "person" WHEN OLD."id" IS NOT NEW."id" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (-5, julianday('now'), OLD."id"); END
CREATE TRIGGER "sqlitesync_5_replace_insert_0" BEFORE INSERT ON "person" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) SELECT 5, julianday('now'), "id" FROM "person" WHERE "room" = ifnull(NEW."room", (7)) COLLATE RTRIM; END
CREATE TRIGGER "sqlitesync_5_replace_insert_1" BEFORE INSERT ON "person" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) SELECT 5, julianday('now'), "id" FROM "person" WHERE "last" = NEW."last" COLLATE BINARY AND "first" = NEW."first" COLLATE BINARY; END
CREATE TRIGGER "sqlitesync_5_replace_insert_2" BEFORE INSERT ON "person" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) SELECT 5, julianday('now'), "id" FROM "person" WHERE "mail" = NEW."mail" COLLATE NOCASE; END
CREATE TRIGGER "sqlitesync_5_replace_update_0" BEFORE UPDATE OF "room" ON "person" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) SELECT 5, julianday('now'), "id" FROM "person" WHERE "room" = ifnull(NEW."room", (7)) COLLATE RTRIM; END
CREATE TRIGGER "sqlitesync_5_replace_update_1" BEFORE UPDATE OF "last", "first" ON "person" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) SELECT 5, julianday('now'), "id" FROM "person" WHERE "last" = NEW."last" COLLATE BINARY AND "first" = NEW."first" COLLATE BINARY; END
CREATE TRIGGER "sqlitesync_5_replace_update_2" BEFORE UPDATE OF "mail" ON "person" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) SELECT 5, julianday('now'), "id" FROM "person" WHERE "mail" = NEW."mail" COLLATE NOCASE; END
CREATE TRIGGER "sqlitesync_5_update" AFTER UPDATE ON "person" BEGIN INSERT INTO sqlitesync_log (tbl, at, k0) VALUES (5, julianday('now'), NEW."id"); END
CREATE TABLE sqlitesync_clock_1 (
	k0 INTEGER NOT NULL,
	time INTEGER NOT NULL, device INTEGER NOT NULL, batch INTEGER NOT NULL,
	birth_time INTEGER, birth_device INTEGER, birth_batch INTEGER,
	shape INTEGER NOT NULL, image BLOB NOT NULL, state INTEGER NOT NULL,
	PRIMARY KEY (k0)
) WITHOUT ROWID
CREATE TABLE sqlitesync_clock_2 (
	k0 REAL NOT NULL,
	k1 INTEGER NOT NULL,
	time INTEGER NOT NULL, device INTEGER NOT NULL, batch INTEGER NOT NULL,
	birth_time INTEGER, birth_device INTEGER, birth_batch INTEGER,
	shape INTEGER NOT NULL, image BLOB NOT NULL, state INTEGER NOT NULL,
	PRIMARY KEY (k0, k1)
) WITHOUT ROWID
CREATE TABLE sqlitesync_clock_3 (
	k0 TEXT NOT NULL,
	time INTEGER NOT NULL, device INTEGER NOT NULL, batch INTEGER NOT NULL,
	birth_time INTEGER, birth_device INTEGER, birth_batch INTEGER,
	shape INTEGER NOT NULL, image BLOB NOT NULL, state INTEGER NOT NULL,
	PRIMARY KEY (k0)
) WITHOUT ROWID
CREATE TABLE sqlitesync_clock_4 (
	k0  NOT NULL,
	time INTEGER NOT NULL, device INTEGER NOT NULL, batch INTEGER NOT NULL,
	birth_time INTEGER, birth_device INTEGER, birth_batch INTEGER,
	shape INTEGER NOT NULL, image BLOB NOT NULL, state INTEGER NOT NULL,
	PRIMARY KEY (k0)
) WITHOUT ROWID
CREATE TABLE sqlitesync_clock_5 (
	k0  NOT NULL,
	time INTEGER NOT NULL, device INTEGER NOT NULL, batch INTEGER NOT NULL,
	birth_time INTEGER, birth_device INTEGER, birth_batch INTEGER,
	shape INTEGER NOT NULL, image BLOB NOT NULL, state INTEGER NOT NULL,
	PRIMARY KEY (k0)
) WITHOUT ROWID
