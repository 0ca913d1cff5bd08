package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/sqlitesync/go/sqlitesync"
)

var roles = []sqlitesync.Role{sqlitesync.RoleAdmin, sqlitesync.RoleWriter, sqlitesync.RoleReader}

func roleNames() (names []string) {
	for _, role := range roles {
		names = append(names, role.String())
	}
	return names
}

func parseRole(text string) (sqlitesync.Role, error) {
	for _, role := range roles {
		if role.String() == text {
			return role, nil
		}
	}
	return 0, usageErrorf("the role %q is not known: say %s", text, strings.Join(roleNames(), ", "))
}

// findDevice returns the member that text names: by its id, the beginning of it,
// or its name, if that is the only one's.
func findDevice(ctx context.Context, s *session, path, text string) (*sqlitesync.Device, error) {
	devices, err := s.Devices(ctx)
	if err != nil {
		return nil, err
	}
	hint := fmt.Sprintf("List them with 'sqlitesync devices %s'.", word(path))
	var found []*sqlitesync.Device
	for i := range devices {
		if text != "" && (strings.HasPrefix(devices[i].ID.String(), text) || devices[i].Name == text) {
			found = append(found, &devices[i])
		}
	}
	switch len(found) {
	case 0:
		return nil, &failure{fmt.Errorf("the space has no device %q", text), hint, exitUsage}
	case 1:
		return found[0], nil
	}
	return nil, &failure{fmt.Errorf("%d devices are called %q: say more of the id", len(found), text), hint, exitUsage}
}
