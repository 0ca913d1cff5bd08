"""Keeps notes in SQLite, with nothing but Python's own sqlite3 module.

    python3 notes.py notes.db add "Buy bread"
    python3 notes.py notes.db list

It knows nothing of sync: `sqlitesync watch notes.db` carries what it writes.
"""

import sqlite3
import sys
import uuid


def connect(path):
    db = sqlite3.connect(path, timeout=5)  # waits while a merge has the write lock
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA recursive_triggers = ON")
    # A UUID as the key: two devices that count up would give one number to two notes.
    db.execute("CREATE TABLE IF NOT EXISTS note (id TEXT PRIMARY KEY NOT NULL, text TEXT NOT NULL)")
    return db


def main(path, verb, *text):
    db = connect(path)
    if verb == "add":
        with db:
            db.execute("INSERT INTO note VALUES (?, ?)", (str(uuid.uuid4()), " ".join(text)))
    for (line,) in db.execute("SELECT text FROM note ORDER BY text"):
        print(line)
    db.close()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
