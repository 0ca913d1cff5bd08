// Package migrations has nothing but tests: that sync goes on while migration
// tools change the app's schema in their own ways.
package migrations
