package sqlitesync

import (
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// migrationTables are what migration tools call the table in which they note how
// far a database was migrated, or that they are at it. A row of it that comes from another device says
// that migrations have run here which have not.
var migrationTables = []string{
	"__diesel_schema_migrations", "__drizzle_migrations", "__EFMigrationsHistory", "__EFMigrationsLock", "__MigrationHistory", "_prisma_migrations", "_sqlx_migrations",
	"alembic_version", "ar_internal_metadata", "atlas_schema_revisions", "bun_migrations", "d1_migrations", "django_migrations",
	"doctrine_migration_versions", "flyway_schema_history", "goose_db_version", "gorp_migrations", "grdb_migrations", "knex_migrations",
	"knex_migrations_lock", "kysely_migration", "kysely_migration_lock", "migrations", "mikro_orm_migrations", "phinxlog", "refinery_schema_history", "room_master_table",
	"schema_migrations", "seaql_migrations", "SequelizeMeta",
}

// toldMigrations returns the tables of this kind that are synced though nobody has
// asked for it. It goes by their names: they are told of, not excluded, because the
// app may have a table of its own that is called so.
func (s *Syncer) toldMigrations() (names []string) {
	if s.options.Tables != nil {
		return nil
	}
	for _, table := range s.db.Tables {
		if slices.ContainsFunc(migrationTables, func(name string) bool { return changelog.CanonicalName(name) == changelog.CanonicalName(table.Name) }) {
			names = append(names, table.Name)
		}
	}
	return names
}

// migrationWarnings tells the author of the app of these tables, and the way out.
func (s *Syncer) migrationWarnings() (warnings []string) {
	for _, name := range s.toldMigrations() {
		warnings = append(warnings, fmt.Sprintf("the table %q is synced and looks like the one in which a migration tool notes how far it has come: another device would "+
			"take these migrations for its own; exclude it on each device (Options.Exclude, or 'sqlitesync sync DB --exclude %s')", name, name))
	}
	return warnings
}
