package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// app is what all verbs share: the streams, and the flags that every verb has.
type app struct {
	streams
	json     bool
	verbose  bool
	keys     string   // where the keys are, "" for the default place
	folder   string   // "" for the one that the database remembers
	standBy  bool     // wait until nothing else syncs the database
	exclude  []string // tables to leave out, beside those that are
	include  []string // tables to leave out no longer
	progress progress
}

const rootHelp = `Keeps SQLite databases the same on all your devices, through a folder that Dropbox, Syncthing, iCloud Drive,
Google Drive, OneDrive or a USB stick carries between them. There is no server, and the folder's host sees only
encrypted files. Programs in any language go on writing to their database as before.

On the first device:   sqlitesync create notes.db ~/Dropbox/notes
                       sqlitesync invite notes.db
On each other one:     sqlitesync join notes.db ~/Dropbox/notes
Then, on each:         sqlitesync watch notes.db

The tables must have a primary key. The app makes them on each device; where there is no app, say join --make-tables.
Keep the database itself outside the folder. When all devices are lost: sqlitesync restore FOLDER NEWDB.`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sqlitesync",
		Short:         "Keeps SQLite databases the same on all your devices, through a shared folder",
		Long:          rootHelp,
		Version:       version(),
		Args:          usage(cobra.NoArgs),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print JSON, for programs (see help json)")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "say on the standard error stream what is being done")
	flags.StringVar(&a.keys, "keys", "", "`DIRECTORY` of this device's keys (default: sqlitesync in the user's configuration directory)")
	_ = root.MarkPersistentFlagDirname("keys") // fails only if there is no such flag
	root.AddGroup(
		&cobra.Group{ID: groupSetUp, Title: "Setting up:"},
		&cobra.Group{ID: groupRun, Title: "Syncing:"},
		&cobra.Group{ID: groupLook, Title: "Looking, also while something else syncs:"},
	)
	root.AddCommand(
		a.createCommand(), a.inviteCommand(), a.joinCommand(), a.makeTablesCommand(), a.recoveryCommand(), a.restoreCommand(), a.uninstallCommand(),
		a.syncCommand(), a.watchCommand(), a.verifyCommand(),
		a.statusCommand(), a.devicesCommand(), a.invitesCommand(), a.conflictsCommand(), a.heldCommand(), a.historyCommand(), a.exportCommand(), a.inspectCommand(), a.doctorCommand(),
	)
	for _, verb := range root.Commands() {
		if verb.HasSubCommands() {
			verb.ValidArgsFunction = completeFiles
		}
	}
	root.AddCommand(helpTopics()...)
	return root
}

// completeFiles lets a shell offer files beside the verbs below a verb: cobra offers
// those alone, and the database is a file.
func completeFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

const (
	groupSetUp = "set up"
	groupRun   = "run"
	groupLook  = "look"
)

// usage makes what is wrong with the arguments a usageError that shows them.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		switch {
		case err == nil:
			return nil
		case cmd.HasSubCommands() && len(args) > 0 && (!cmd.HasParent() || meant(cmd, args[0]) != ""):
			return noVerb(cmd, args[0])
		}
		return usageErrorf("%w; it is: %s", err, cmd.UseLine())
	}
}

// meant returns the verb below another one that was mistyped, "" if none is like it.
func meant(cmd *cobra.Command, typed string) string {
	cmd.SuggestionsMinimumDistance = 2
	for _, verb := range cmd.SuggestionsFor(typed) {
		return cmd.CommandPath() + " " + verb
	}
	return ""
}

// noVerb says that there is no such verb, and which one it may have been meant for.
func noVerb(cmd *cobra.Command, typed string) error {
	err := fmt.Errorf("there is no verb %q", typed)
	if verb := meant(cmd, typed); verb != "" {
		return &failure{err, fmt.Sprintf("Did you mean '%s'?", verb), exitUsage}
	}
	return usageError{err}
}

// aloneHelp stands in the help of each verb that opens the database as an app does.
const aloneHelp = "Nothing else may sync the database meanwhile: stop 'sqlitesync watch', or the app, and start it again afterwards."

// alone says so in the help of a verb.
func alone(cmd *cobra.Command) { cmd.Long += "\n\n" + aloneHelp }

// folderFlag gives a verb the flag --folder.
func (a *app) folderFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.folder, "folder", "", "the shared `FOLDER` (default: the one that the database was last synced with)")
	_ = cmd.MarkFlagDirname("folder") // fails only if there is no such flag
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
