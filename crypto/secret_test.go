package crypto

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestSecretsAreNotPrinted prints every type that holds a secret in every way, alone and inside other values, where fmt
// cannot call methods and prints fields as they are.
func TestSecretsAreNotPrinted(t *testing.T) {
	code, recovery := fixedCode(InviteCode, 0x4d), fixedCode(RecoveryCode, 0x4e)
	invite := fixedInvite(t, 0x4d)
	device, epoch := fixedDevice(t, 0x4f), fixedEpoch(t, 0x51)
	recoveryKeys, err := recovery.RecoveryKeys()
	if err != nil {
		t.Fatal(err)
	}
	entry := &KeyEntry{Device: device, Space: testSpace, Epochs: []*Epoch{epoch}, Batch: 1, Tail: Tail{1}}
	file := &InviteFile{Space: testSpace, Newest: []RecordHash{{1}}, Epochs: []*Epoch{epoch}}
	var handles struct { // as somebody might embed them
		code   Code
		invite InviteKeys
		device DeviceKeys
		epoch  Epoch
		entry  KeyEntry
		file   InviteFile
	}
	handles.code, handles.invite, handles.device, handles.epoch, handles.entry, handles.file =
		*code, *invite, *device, *epoch, *entry, *file

	// Secrets in all the forms in which a verb could show them.
	var secrets []string
	hide := func(secret []byte) {
		var decimals []string
		for _, b := range secret[:8] {
			decimals = append(decimals, fmt.Sprint(b))
		}
		secrets = append(secrets, string(secret), hex.EncodeToString(secret[:8]), strings.ToUpper(hex.EncodeToString(secret[:8])),
			strings.Join(decimals, " "), strings.Join(decimals, ", "), fmt.Sprintf("%#v", secret[:8])[7:40])
	}
	hide(bytes.Repeat([]byte{0x4d}, 16))
	hide(bytes.Repeat([]byte{0x4e}, 16))
	hide(device.secret().signing)
	hide(recoveryKeys.secret().signing)
	hide(invite.secret().signing)
	hide(invite.secret().file[:])
	hide(bytes.Repeat([]byte{0x51}, 32))
	for _, identity := range []fmt.Stringer{device.secret().age, recoveryKeys.secret().age, invite.secret().age, epoch.secret().identity, epoch.secret().recipient, invite.secret().recipient} {
		hide([]byte(identity.String()))
	}
	secrets = append(secrets, code.Text(), code.Text()[:12], "SECRET", "age1pq")

	values := []any{
		code, *code, recovery, invite, *invite, device, *device, recoveryKeys, epoch, *epoch, entry, *entry, file, *file,
		&handles, handles, []any{code, device, epoch, entry}, map[string]*Epoch{"a": epoch}, []*KeyEntry{entry},
		struct{ E *KeyEntry }{entry}, struct{ D DeviceKeys }{*device},
	}
	var log bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%t", "%c", "%U", "% x", "%#x", "%10.3v", "%e", "%p", "%T"} {
		for _, value := range values {
			fmt.Fprintf(&log, verb+"\n", value)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		logger := slog.New(handler)
		for _, value := range values {
			logger.Info("value", "v", value, slog.Group("g", "v", value))
		}
	}
	for _, value := range values {
		if text, err := json.Marshal(value); err == nil {
			log.Write(text)
		}
	}
	for _, secret := range secrets {
		if i := strings.Index(log.String(), secret); i >= 0 {
			from := max(0, i-60)
			t.Errorf("printed: %q", log.String()[from:min(i+60, log.Len())])
		}
	}
	for value, want := range map[any]string{
		code: "code (not shown)", invite: "invite keys (not shown)",
		device: "keys of device " + device.ID().Short(), epoch: "epoch " + epoch.ID().String()[:8],
		entry: "key entry of device " + device.ID().Short() + " in space 01020300", &KeyEntry{}: "key entry (empty)",
	} {
		if got := fmt.Sprintf("%+v", value); got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
	}
}
