package main

import "strings"

// systemCommand is what does one thing on each system. Those for Windows run in
// its command prompt and in PowerShell alike.
type systemCommand struct{ linux, darwin, windows string }

// systemCommands are the commands that are not sqlitesync's own, by the words
// that stand for them in mends.
var systemCommands = map[string]systemCommand{
	"SETCLOCK": {
		linux:   "timedatectl set-ntp true",
		darwin:  "sudo sntp -sS time.apple.com",
		windows: "w32tm /resync",
	},
	"ALLOWWRITING": {
		linux:   "chmod u+w DB*",
		darwin:  "chmod u+w DB*",
		windows: "attrib -r DB*",
	},
	"SHOWRIGHTS": {
		linux:   "ls -l FOLDER",
		darwin:  "ls -le FOLDER",
		windows: "icacls FOLDER",
	},
	"REMOVEDEVICE": {
		linux:   "rm -r FOLDER/devices/DEVICE",
		darwin:  "rm -r FOLDER/devices/DEVICE",
		windows: `cmd /c rmdir /s FOLDER\devices\DEVICE`,
	},
	"WATCHMORE": {
		linux:   "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512",
		darwin:  "ulimit -n 10240, and in the same shell: sqlitesync watch DB", // a watch keeps each file of a directory open
		windows: "Look whether the folder is on a drive of this machine: one on the network may not tell of changes",
	},
}

// onSystem puts the commands of a system, as runtime.GOOS names it, in the place
// of the words that stand for them. Systems that are not listed have Linux's.
func onSystem(system, text string) string {
	for word, command := range systemCommands {
		own := command.linux
		switch system {
		case "darwin":
			own = command.darwin
		case "windows":
			own = command.windows
		}
		text = strings.ReplaceAll(text, word, own)
	}
	return text
}
