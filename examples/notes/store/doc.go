// Package store holds the queries of the notes app. sqlc has made it of query.sql
// and the migrations; it knows nothing of sync. The queries above PinNote do in
// version 1 of the schema, too.
//
//	go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate -f examples/notes/sqlc.yaml
package store
