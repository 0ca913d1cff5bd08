-- +goose Up
ALTER TABLE note ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
UPDATE note SET pinned = 1 WHERE title LIKE '!%'; -- which is how people marked them before
CREATE TABLE tag (
    note_id TEXT NOT NULL REFERENCES note (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    PRIMARY KEY (note_id, name)
);

-- +goose Down
DROP TABLE tag;
ALTER TABLE note DROP COLUMN pinned;
