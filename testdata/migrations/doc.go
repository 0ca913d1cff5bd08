// Package migrations has nothing but tests: that sync goes on while migration
// tools change the app's schema in their own ways. It is a module of its own,
// because of what some of these tools require.
package migrations
