package main

import (
	"os"
	"path/filepath"
	"runtime"
)

// keyDirectory returns the directory of this device's keys; "" if nobody knows
// where that is.
func (a *app) keyDirectory() string {
	if a.keys != "" {
		return a.keys
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(config, "sqlitesync")
}

// shownKeyDirectory returns it as a shell reads it, without the names of the
// user's directories.
func (a *app) shownKeyDirectory() string {
	switch {
	case a.keys != "":
		return word(a.keys)
	case runtime.GOOS == "windows":
		return `%AppData%\sqlitesync`
	case runtime.GOOS == "darwin":
		return `~/"Library/Application Support/sqlitesync"`
	case os.Getenv("XDG_CONFIG_HOME") != "":
		return "$XDG_CONFIG_HOME/sqlitesync"
	}
	return "~/.config/sqlitesync"
}
