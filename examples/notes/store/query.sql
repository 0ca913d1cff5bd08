-- name: AddNote :exec
INSERT INTO note (id, title, created_at) VALUES (?, ?, ?);

-- name: RenameNote :execrows
UPDATE note SET title = ? WHERE id = ?;

-- name: DeleteNote :execrows
DELETE FROM note WHERE id = ?;

-- name: FindNotes :many
SELECT id FROM note WHERE substr(id, -length(CAST(sqlc.arg(ending) AS TEXT))) = CAST(sqlc.arg(ending) AS TEXT);

-- name: ListTitles :many
SELECT id, title FROM note ORDER BY created_at, id;

-- name: PinNote :execrows
UPDATE note SET pinned = ? WHERE id = ?;

-- name: TagNote :exec
INSERT INTO tag (note_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: ListNotes :many
SELECT * FROM note ORDER BY pinned DESC, created_at, id;

-- name: ListTags :many
SELECT * FROM tag ORDER BY note_id, name;
