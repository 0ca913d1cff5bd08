package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/sqlitesync/go/sqlitesync"
)

// What mends names is there on the system that it is said on.
func TestMendsFitTheSystem(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code   sqlitesync.FindingCode
		system string
		want   string
	}{
		{sqlitesync.FindingClockOff, "linux", "apart: timedatectl set-ntp true"},
		{sqlitesync.FindingClockOff, "darwin", "apart: sudo sntp -sS time.apple.com"},
		{sqlitesync.FindingClockOff, "windows", "apart: w32tm /resync"},
		{sqlitesync.FindingClockOff, "freebsd", "apart: timedatectl set-ntp true"},
		{sqlitesync.FindingFolderUnreadable, "linux", "folder: ls -l FOLDER"},
		{sqlitesync.FindingFolderUnreadable, "darwin", "folder: ls -le FOLDER"},
		{sqlitesync.FindingFolderUnreadable, "windows", "folder: icacls FOLDER"},
		{sqlitesync.FindingDatabaseReadOnly, "windows", "it: attrib -r DB*. Then: sqlitesync sync DB"},
		{sqlitesync.FindingGap, "linux", "then: rm -r FOLDER/devices/DEVICE"},
		{sqlitesync.FindingGap, "windows", `then: cmd /c rmdir /s FOLDER\devices\DEVICE`},
		{sqlitesync.FindingWatchLimit, "linux", "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"},
		{sqlitesync.FindingWatchLimit, "darwin", "ulimit -n 10240, and in the same shell: sqlitesync watch DB"},
	} {
		if got := onSystem(test.system, mends[test.code]); !strings.HasSuffix(got, test.want) {
			t.Errorf("%s on %s: %q, want %q at its end", test.code, test.system, got, test.want)
		}
	}
	placeholder := regexp.MustCompile(`[A-Z]{4,}`)
	known := map[string]bool{"FOLDER": true, "NEWDB": true, "DEVICE": true, "TABLE": true, "KEYS": true, "DIRECTORY": true}
	// None of these is known to a shell of Windows. FindingKeysOpen is never found there.
	posix := regexp.MustCompile(`\b(sudo|chmod|sysctl|ls|rm|timedatectl|ulimit) `)
	for code, mend := range mends {
		for _, system := range []string{"linux", "darwin", "windows"} {
			text := onSystem(system, mend)
			for _, word := range placeholder.FindAllString(text, -1) {
				if !known[word] {
					t.Errorf("%s on %s: nothing stands for %s", code, system, word)
				}
			}
			if system == "windows" && code != sqlitesync.FindingKeysOpen && posix.MatchString(text) {
				t.Errorf("%s says on Windows: %s", code, text)
			}
		}
	}
}
