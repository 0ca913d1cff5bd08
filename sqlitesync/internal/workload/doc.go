// Package workload makes, at random, what apps do to a database: a schema with references, unique values, triggers and a full-text
// index, migrations of it that change almost everything that a migration can, and statements for every version of it. It is for
// tests: those of package sqlitesync and those of synctest run the same apps, without faults and with.
package workload
