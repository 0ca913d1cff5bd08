package crypto

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestIDText(t *testing.T) {
	device := fixedDevice(t, 1).ID()
	space := SpaceID{0xab, 0xcd, 0xef, 0x01, 31: 0x99}
	if got, err := ParseDeviceID(device.String()); err != nil || got != device {
		t.Errorf("device id does not survive its text: %v, %v", got, err)
	}
	if got, err := ParseSpaceID(space.String()); err != nil || got != space {
		t.Errorf("space id does not survive its text: %v, %v", got, err)
	}
	if got, err := ParseRecordHash(RecordHash(space).String()); err != nil || got != RecordHash(space) {
		t.Errorf("record hash does not survive its text: %v, %v", got, err)
	}
	if got := space.Short(); got != "abcdef01" {
		t.Errorf("short form %q", got)
	}

	if got := device.LogValue().String() + space.LogValue().String(); got != device.Short()+"abcdef01" {
		t.Errorf("logged as %q", got)
	}

	type ids struct {
		Device DeviceID
		Space  SpaceID
		Names  map[DeviceID]string
	}
	in := ids{device, space, map[DeviceID]string{device: "laptop"}}
	text, err := json.Marshal(in)
	if err != nil || !strings.Contains(string(text), `"`+device.String()+`":"laptop"`) {
		t.Fatalf("JSON %s, error %v", text, err)
	}
	var out ids
	if err := json.Unmarshal(text, &out); err != nil || out.Device != device || out.Space != space || out.Names[device] != "laptop" {
		t.Errorf("JSON gives %+v, error %v", out, err)
	}
}

func TestIDRules(t *testing.T) {
	good := strings.Repeat("0a", 16)
	if _, err := ParseDeviceID(good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":      "",
		"short":      good[1:],
		"long":       good + "0",
		"upper case": strings.ToUpper(good),
		"letter g":   "g" + good[1:],
		"blank":      " " + good[1:],
		"space id":   good + good,
	} {
		if id, err := ParseDeviceID(text); err == nil || id != (DeviceID{}) {
			t.Errorf("%s: id %v, error %v", name, id, err)
		}
		id := DeviceID{1}
		if err := id.UnmarshalText([]byte(text)); err == nil || id != (DeviceID{1}) {
			t.Errorf("%s: changed to %v, error %v", name, id, err)
		}
	}
	space := SpaceID{1}
	if err := space.UnmarshalText([]byte(good)); err == nil || space != (SpaceID{1}) {
		t.Errorf("space id changed to %v, error %v", space, err)
	}
	if _, err := ParseRecordHash(good); err == nil {
		t.Error("record hash of 16 bytes")
	}
}

func TestMachineHash(t *testing.T) {
	a, b := DeviceID{1}, DeviceID{2}
	if MachineHash(a, "m") != MachineHash(a, "m") || MachineHash(a, "m") == MachineHash(b, "m") || MachineHash(a, "m") == MachineHash(a, "n") {
		t.Error("machine hash does not tell devices and machines apart")
	}
}
