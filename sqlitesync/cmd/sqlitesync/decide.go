package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sqlitesync/go/sqlitesync"
)

// deviceVerbs returns the verbs that are about one device.
func (a *app) deviceVerbs() []*cobra.Command {
	revoke := &cobra.Command{
		Use:   "revoke DB DEVICE",
		Short: "End a device that was lost or stolen",
		Long: `Ends a device, named by its id, the beginning of it, or its name: nothing that it writes from now on is used, and it can
read nothing that the others write once they know. What it has already, it keeps. It never becomes a member again; the
machine can join anew with a code. Only an admin can do it. The device of DB itself is ended by its whole id alone. A code
that its holder knows still lets in: withdraw open invites, and replace a recovery code that the device has made or
entered with.`,
		Example: "  sqlitesync devices revoke notes.db 4be1c07a",
		Args:    usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.decide(cmd.Context(), args, "Revoked device %s, %s.", func(ctx context.Context, s *session, d *sqlitesync.Device) error {
				if d.Self && d.Role == sqlitesync.RoleAdmin && args[1] != d.ID.String() { // a slip would end it for good
					return &failure{fmt.Errorf("device %s, %s, is this device itself", d.ID.Short(), nameOf(d)),
						fmt.Sprintf("To end it, name its whole id. For which other ones there are: 'sqlitesync devices %s'.", word(args[0])), exitNotAllowed}
				}
				return s.Revoke(ctx, d.ID)
			})
		},
	}
	role := &cobra.Command{
		Use:     "role DB DEVICE ROLE",
		Short:   "Make a device an admin, or a writer",
		Long:    "Gives a device another role: admin or writer. Only an admin can do it. To make a reader of a device that may write, revoke it and invite it as a reader.",
		Example: "  sqlitesync devices role notes.db 4be1c07a writer",
		Args:    usage(cobra.ExactArgs(3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			role, err := parseRole(args[2])
			if err != nil {
				return err
			}
			return a.decide(cmd.Context(), args, "Device %s, %s, is "+role.String()+" now.", func(ctx context.Context, s *session, d *sqlitesync.Device) error {
				return s.SetRole(ctx, d.ID, role)
			})
		},
	}
	relay := &cobra.Command{
		Use:   "relay DB DEVICE",
		Short: "Publish again what this database holds of a device whose files are lost",
		Long: `Publishes, among this device's own files, what this database holds of another device whose files are gone from the folder
for good, so that devices which enter later have it too. Admins' devices do so by themselves after a week.`,
		Example: "  sqlitesync devices relay notes.db 4be1c07a",
		Args:    usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.decide(cmd.Context(), args, "Relayed what is here of device %s, %s.", func(ctx context.Context, s *session, d *sqlitesync.Device) error { return s.Relay(ctx, d.ID) })
		},
	}
	rename := &cobra.Command{
		Use:     "rename DB NAME",
		Short:   "Say what this device is called on the others",
		Long:    "Gives this device, the one of the database, another name for people. The others show it once they have got its head. A device names itself: rename another one there.",
		Example: "  sqlitesync devices rename notes.db 'the old laptop'",
		Args:    usage(cobra.ExactArgs(2)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.rename(cmd.Context(), args[0], args[1]) },
	}
	verbs := []*cobra.Command{rename, revoke, role, relay}
	for _, verb := range verbs {
		a.folderFlag(verb)
		alone(verb)
	}
	return verbs
}

// decide does something about the device that the arguments name, and a pass. The
// sentence gets its id and its name.
func (a *app) decide(ctx context.Context, args []string, sentence string, fn func(context.Context, *session, *sqlitesync.Device) error) error {
	s, err := a.open(ctx, args[0], true)
	if err != nil {
		return err
	}
	// Of several devices of one name all must be known, also those that came last. What
	// this pass can't do the one below says.
	before, _ := a.pass(ctx, s)
	device, err := findDevice(ctx, s, args[0], args[1])
	if err == nil {
		err = fn(ctx, s, device)
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	return a.finish(ctx, s, func(t tally) error {
		if a.json {
			return a.printJSON(passReport(t.plus(before), s.Status()))
		}
		a.printf(sentence, device.ID.Short(), nameOf(device))
		a.printWarnings(s.Status())
		return nil
	})
}

func (a *app) rename(ctx context.Context, path, name string) error {
	s, err := a.open(ctx, path, true)
	if err != nil {
		return err
	}
	if err := s.Rename(ctx, name); err != nil {
		return errors.Join(err, s.close())
	}
	return a.finish(ctx, s, func(t tally) error {
		if a.json {
			return a.printJSON(passReport(t, s.Status()))
		}
		a.printf("This device is called %s now.", name)
		return nil
	})
}

// nameOf returns what a device calls itself.
func nameOf(device *sqlitesync.Device) string {
	if device.Name == "" {
		return "?"
	}
	return device.Name
}
