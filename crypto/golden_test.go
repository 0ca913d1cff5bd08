package crypto

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/cryptotest"
)

var update = flag.Bool("update", false, "write the files in testdata/vectors/files anew")

// goldenFiles makes one file of each kind from fixed keys, as this version writes them.
func goldenFiles(t *testing.T) map[string][]byte {
	t.Helper()
	founder, second, epoch := fixedDevice(t, 1), fixedDevice(t, 2), fixedEpoch(t, 9)
	h := newHistory(t)
	invite := h.add(h.roster().NewInvite(founder, fixedInvite(t, 4), Writer, 10, 100))
	inviteFile, err := fixedInvite(t, 4).Seal(&InviteFile{
		Space: h.space, Invite: invite.Hash(), Newest: h.roster().Heads(), Epochs: []*Epoch{epoch}, Expires: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	admit := h.add(h.roster().NewAdmit(fixedInvite(t, 4), invite.Hash(), second, 50))
	decisions := goldenDecisions(h)
	segment, tail, err := SealSegment(SegmentHeader{Space: h.space, First: 1, Last: 1}, []byte("batch 1"), epoch, founder)
	if err != nil {
		t.Fatal(err)
	}
	compacted, _, err := SealSegment(SegmentHeader{
		Space: h.space, First: 1, Last: 1, Generation: 1, Tail: tail,
	}, []byte("batch 1, again"), epoch, founder)
	if err != nil {
		t.Fatal(err)
	}
	head, err := SealHead(HeadHeader{Space: h.space, Counter: 7}, []byte("a head"), epoch, founder)
	if err != nil {
		t.Fatal(err)
	}
	keys := &KeyEntry{
		Device: founder, Space: h.space, Epochs: []*Epoch{epoch},
		Machine: MachineHash(founder.ID(), "machine"), Batch: 1, Tail: tail,
	}
	files := map[string][]byte{
		"found.record": h.found.File(), "invite.record": invite.File(), "admit.record": admit.File(),
		"invite.age": inviteFile, "original.seg": segment, "compacted.seg": compacted, "head": head,
		"keys": encodeKeyEntry(t, keys),
	}
	for name, record := range decisions {
		files[name] = record.File()
	}
	return files
}

// goldenDecisions goes on after the second device was admitted by the invite of code 4.
func goldenDecisions(h *history) map[string]*Record {
	h.t.Helper()
	founder, second, epoch := fixedDevice(h.t, 1), fixedDevice(h.t, 2), fixedEpoch(h.t, 9)
	role := h.add(h.roster().NewRole(founder, Cut{Device: second.ID()}, Admin, 60))
	succeed := h.add(h.roster().NewSucceed(second, fixedDevice(h.t, 3), 70))
	withdraw := h.add(h.roster().NewWithdraw(founder, h.records[1].Hash(), 80))
	revoke := h.add(h.roster().NewRevoke(founder, []Cut{{Device: second.ID(), Last: 1, Files: []FileHash{{1}, {2}}}}, 90))
	join := h.add(h.roster().NewJoin(founder, []*Epoch{epoch}, fixedRecovery(h.t, 201), 100))
	return map[string]*Record{
		"role.record": role, "succeed.record": succeed, "withdraw.record": withdraw, "revoke.record": revoke, "join.record": join,
	}
}

// TestGolden reads the files that version 1 wrote, which every later version must read too.
func TestGolden(t *testing.T) {
	dir := filepath.Join("..", "testdata", "vectors", "files")
	if *update {
		for name, file := range goldenFiles(t) {
			if err := os.WriteFile(filepath.Join(dir, name), file, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(name string) []byte {
		t.Helper()
		file, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return file
	}

	keys, err := ParseKeyEntry(read("keys"))
	if err != nil {
		t.Fatal(err)
	}
	if keys.Machine != MachineHash(keys.Device.ID(), "machine") || keys.Device.ID() != fixedDevice(t, 1).ID() {
		t.Error("the key entry is another")
	}
	var records []*Record
	names := []string{
		"admit.record", "found.record", "invite.record", "role.record", "succeed.record", "withdraw.record", "revoke.record", "join.record",
	}
	for _, name := range names {
		record, err := ParseRecord(read(name))
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, record)
	}
	roster, err := ReadRoster(keys.Space, records)
	if err != nil {
		t.Fatal(err)
	}
	members := roster.Members()
	if len(members) != 2 || members[1].ID != fixedDevice(t, 3).ID() || members[1].Role != Admin || len(roster.Refused())+len(roster.Waiting()) != 0 {
		t.Fatal(describe(roster))
	}
	log, ok := roster.Log(fixedDevice(t, 2).ID())
	if !ok || log.Writes || log.Last != 1 || !slices.Equal(log.Files, []FileHash{{1}, {2}}) {
		t.Errorf("log of the revoked device %+v", log)
	}
	if key, ok := roster.Recovery(); !ok || key != fixedRecovery(t, 201).Public() {
		t.Error("the recovery key is another")
	}
	for device, want := range map[*DeviceKeys]int{fixedDevice(t, 1): 4, fixedDevice(t, 3): 3, fixedRecovery(t, 201): 2} {
		epochs, err := roster.OpenEpochs(device, nil)
		if err != nil || len(epochs) != want || epochs[want-1].ID() != roster.CurrentEpoch() {
			t.Errorf("%s: epochs %v, error %v, want %d", device, epochs, err, want)
		}
	}
	inviteFile, err := fixedInvite(t, 4).Open(read("invite.age"))
	if err != nil {
		t.Fatal(err)
	}
	if inviteFile.Space != keys.Space || len(roster.Missing(append(inviteFile.Newest, inviteFile.Invite))) != 0 {
		t.Errorf("invite file %v", inviteFile)
	}
	epoch, err := roster.Epochs()[0].Open(keys.Device)
	if err != nil {
		t.Fatal(err)
	}
	if epoch.ID() != inviteFile.Epochs[0].ID() || epoch.ID() != keys.Epochs[0].ID() {
		t.Error("epochs differ")
	}

	for name, want := range map[string]string{"original.seg": "batch 1", "compacted.seg": "batch 1, again"} {
		file := read(name)
		content, err := openSegment(file, keys.Device, epoch, 100)
		if err != nil || string(content) != want {
			t.Errorf("%s: content %q, error %v", name, content, err)
		}
		segment, err := ParseSegment(file)
		if err != nil || segment.Tail() != keys.Tail || segment.Header().Space != keys.Space {
			t.Errorf("%s: tail %s, error %v", name, segment.Tail(), err)
		}
	}
	if content, err := openHead(read("head"), keys.Device, epoch, 100); err != nil || string(content) != "a head" {
		t.Errorf("head: content %q, error %v", content, err)
	}
}

// TestSeededRandom holds what simulations need: one seed, one run.
func TestSeededRandom(t *testing.T) {
	var first map[string][]byte
	for range 2 {
		t.Run("run", func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, 1)
			files := goldenFiles(t)
			device, err := NewDeviceKeys()
			if err != nil {
				t.Fatal(err)
			}
			epoch, err := NewEpoch()
			if err != nil {
				t.Fatal(err)
			}
			files["fresh"] = encodeKeyEntry(t, &KeyEntry{Device: device, Epochs: []*Epoch{epoch}})
			files["code"] = []byte(NewCode(InviteCode).Text())
			if first == nil {
				first = files
				return
			}
			for name, file := range files {
				if !bytes.Equal(file, first[name]) {
					t.Errorf("%s differs", name)
				}
			}
		})
	}
}

func TestFreshKeysDiffer(t *testing.T) {
	a, errA := NewDeviceKeys()
	b, errB := NewDeviceKeys()
	x, errX := NewEpoch()
	y, errY := NewEpoch()
	if errA != nil || errB != nil || errX != nil || errY != nil {
		t.Fatal(errA, errB, errX, errY)
	}
	if a.ID() == b.ID() || a.Public().Recipient == b.Public().Recipient || x.ID() == y.ID() {
		t.Error("keys repeat")
	}
	if a.Public().ID() != a.ID() {
		t.Error("the id is not that of the public keys")
	}
}
