-- +goose Up
CREATE TABLE note (
    id         TEXT PRIMARY KEY NOT NULL, -- sqlitesync.NewKey: no two devices make the same one
    title      TEXT NOT NULL,
    created_at INTEGER NOT NULL -- in milliseconds since 1970
);

-- +goose Down
DROP TABLE note;
