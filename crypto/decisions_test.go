package crypto

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"
)

// testDecisions makes one good record of each kind from succeed to join, in the order of the kinds.
func testDecisions(t testing.TB) []*Record {
	t.Helper()
	founder, device, recovery := fixedDevice(t, 1), fixedDevice(t, 2), fixedRecovery(t, 201)
	wraps := func(ids ...DeviceID) (list []Wrap) {
		slices.SortFunc(ids, func(a, b DeviceID) int { return bytes.Compare(a[:], b[:]) })
		for _, id := range ids {
			list = append(list, Wrap{Member: id, File: []byte("an age file")})
		}
		return list
	}
	epochs := []WrappedEpoch{{ID: EpochID{1}, Wraps: wraps(device.ID())}, {ID: EpochID{2}, Wraps: wraps(founder.ID(), recovery.ID())}}
	cut := Cut{Device: device.ID(), Last: 7, Files: []FileHash{{1}, {2}}}
	other := Cut{Device: DeviceID{0xff, 0xff}, Last: MaxBatch}
	bodies := []Body{
		&Withdraw{Created: 2000, Invite: RecordHash{7}, Epochs: epochs},
		&RoleChange{Created: 2000, Cut: cut, Role: Reader},
		&Revoke{Created: 2000, Cuts: []Cut{cut, other}, Epochs: epochs},
		&Join{Created: 2000, Recovery: &RecoveryKey{PublicKeys: recovery.Public()}, Epochs: epochs},
	}
	succeed, err := newSucceed(founder, testSpace, []RecordHash{{7}}, device, 2500)
	if err != nil {
		t.Fatal(err)
	}
	records := []*Record{succeed}
	for i, body := range bodies {
		unsigned := Record{Kind: KindWithdraw + Kind(i), Space: testSpace, Parents: []RecordHash{{7}}, Author: founder.id, Body: body}
		if key := unsigned.recovery(); key != nil {
			if err := unsigned.proveRecovery(key, recovery); err != nil {
				t.Fatal(err)
			}
		}
		record, err := newRecord(unsigned, founder.secret().signing)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, record)
	}
	return records
}

func TestDecisionRoundTrip(t *testing.T) {
	for i, record := range testDecisions(t) {
		file := record.File()
		again, err := ParseRecord(file)
		if err != nil {
			t.Fatalf("%s: %v", record.Kind, err)
		}
		clear(file) // the record must not depend on the buffer
		header, err := again.encode()
		if err != nil || !bytes.Equal(header, record.header) || again.Hash() != record.Hash() || again.Kind != KindSucceed+Kind(i) {
			t.Errorf("%s: another record, error %v", record.Kind, err)
		}
	}
	revoke := testDecisions(t)[3].Body.(*Revoke)
	if revoke.Created != 2000 || len(revoke.Cuts) != 2 || revoke.Cuts[0].Last != 7 || len(revoke.Cuts[0].Files) != 2 || len(revoke.Epochs) != 2 {
		t.Errorf("revoke %+v", revoke)
	}
}

// TestDecisionRules has cases for R1 to R11 of FORMAT.md for the kinds from succeed to join. Each changes the body of a good
// record, which is then signed again, so nothing but the rule can refuse it.
func TestDecisionRules(t *testing.T) {
	founder, device := fixedDevice(t, 1), fixedDevice(t, 2)
	records := testDecisions(t)
	succeed, withdraw, role, revoke, join := records[0], records[1], records[2], records[3], records[4]
	set := func(at int, values ...byte) func([]byte) []byte { // in the body
		return func(header []byte) []byte { copy(header[1+32+2+32+16+at:], values); return header }
	}
	cut := func(n int) func([]byte) []byte { return func(header []byte) []byte { return header[:len(header)-n] } }
	body := func(record *Record, change func(Body)) func([]byte) []byte {
		return func([]byte) []byte {
			again, err := ParseRecord(record.File())
			if err != nil {
				t.Fatal(err)
			}
			change(again.Body)
			header, err := again.encode()
			if err != nil {
				t.Fatal(err)
			}
			return header
		}
	}
	late := []byte{0, 0, 0xe6, 0x77, 0xd2, 0x1f, 0xdc, 0x00} // one above the end of the year 9999
	files := make([]FileHash, 513)
	cuts := make([]Cut, 65)
	for i := range files {
		files[i] = FileHash{byte(i >> 8), byte(i)}
	}
	for i := range cuts {
		cuts[i].Device = DeviceID{byte(i)}
	}
	many := make([]WrappedEpoch, 65)
	for i := range many {
		many[i] = WrappedEpoch{ID: EpochID{9, byte(i)}, Wraps: []Wrap{{File: []byte{1}}}}
	}
	type test struct {
		name   string
		record *Record
		change func([]byte) []byte
	}
	tests := []test{
		{"succeed: author is the id of the key", succeed, func(header []byte) []byte {
			id := device.ID()
			copy(header[1+32+2+32:], id[:])
			return header
		}},
		{"succeed: key of small order", succeed, set(8, make([]byte, 32)...)},
		{"succeed: recipient with a wrong letter", succeed, set(8+32+2+100, 'b')},
		{"succeed, proof by another key", succeed, func(h []byte) []byte {
			return append(h[:len(h)-64], ed25519.Sign(founder.secret().signing, proofMessage(labelSucceed, h))...)
		}},
		{"succeed, proof for an admit", succeed, func(h []byte) []byte {
			return append(h[:len(h)-64], ed25519.Sign(device.secret().signing, proofMessage(labelAdmit, h))...)
		}},
		{"withdraw: no epoch", withdraw, body(withdraw, func(b Body) { b.(*Withdraw).Epochs = nil })},
		{"withdraw: epoch twice", withdraw, body(withdraw, func(b Body) { b.(*Withdraw).Epochs[0].ID = EpochID{2} })},
		{"withdraw: 65 epochs", withdraw, body(withdraw, func(b Body) { b.(*Withdraw).Epochs = many })},
		{"withdraw: epoch without wraps", withdraw, body(withdraw, func(b Body) { b.(*Withdraw).Epochs[0].Wraps = nil })},
		{"withdraw: wraps not rising", withdraw, body(withdraw, func(b Body) { slices.Reverse(b.(*Withdraw).Epochs[1].Wraps) })},
		{"withdraw: empty wrap", withdraw, body(withdraw, func(b Body) { b.(*Withdraw).Epochs[0].Wraps[0].File = nil })},
		{"withdraw: wrap above the limit", withdraw, body(withdraw, func(b Body) { b.(*Withdraw).Epochs[0].Wraps[0].File = make([]byte, 4097) })},
		{"role: role 0", role, body(role, func(b Body) { b.(*RoleChange).Role = 0 })},
		{"role: role 4", role, body(role, func(b Body) { b.(*RoleChange).Role = 4 })},
		{"role: batch above the limit", role, body(role, func(b Body) { b.(*RoleChange).Cut.Last = MaxBatch + 1 })},
		{"role: files not rising", role, body(role, func(b Body) { slices.Reverse(b.(*RoleChange).Cut.Files) })},
		{"role: file twice", role, body(role, func(b Body) { b.(*RoleChange).Cut.Files = []FileHash{{1}, {1}} })},
		{"role: 513 files", role, body(role, func(b Body) { b.(*RoleChange).Cut.Files = files })},
		{"revoke: no device", revoke, body(revoke, func(b Body) { b.(*Revoke).Cuts = nil })},
		{"revoke: 65 devices", revoke, body(revoke, func(b Body) { b.(*Revoke).Cuts = cuts })},
		{"revoke: devices not rising", revoke, body(revoke, func(b Body) { slices.Reverse(b.(*Revoke).Cuts) })},
		{"revoke: device twice", revoke, body(revoke, func(b Body) { b.(*Revoke).Cuts[1].Device = b.(*Revoke).Cuts[0].Device })},
		{"revoke: batch above the limit", revoke, body(revoke, func(b Body) { b.(*Revoke).Cuts[1].Last = 1 << 48 })},
		{"revoke: no epoch", revoke, body(revoke, func(b Body) { b.(*Revoke).Epochs = nil })},
		{"revoke: epoch twice", revoke, body(revoke, func(b Body) { b.(*Revoke).Epochs[0].ID = EpochID{2} })},
		{"join: presence byte 2", join, set(8, 2)},
		{"join: recovery key not usable", join, set(9, make([]byte, 32)...)},
		{"join: no wrap for the recovery key", join, body(join, func(b Body) {
			epochs := b.(*Join).Epochs
			epochs[0], epochs[1] = epochs[1], epochs[0]
		})},
		{"join: proof of the recovery key", join, body(join, func(b Body) { b.(*Join).Recovery.Proof[0] ^= 1 })},
		{"join: proof of the recovery key for another join", join, body(join, func(b Body) { b.(*Join).Created++ })},
		{"join: no epoch", join, body(join, func(b Body) { b.(*Join).Epochs = nil })},
	}
	for _, record := range records {
		name := record.Kind.String()
		tests = append(tests,
			test{name + ": ends early", record, cut(1)},
			test{name + ": empty body", record, func(header []byte) []byte { return header[:1+32+2+32+16] }},
			test{name + ": bytes after the last field", record, func(header []byte) []byte { return append(header, 0) }},
			test{name + ": time above the limit", record, set(0, late...)},
			test{name + ": without parents", record, func(h []byte) []byte { return slices.Concat(h[:33], []byte{0, 0}, h[35+32:]) }},
		)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header := test.change(bytes.Clone(test.record.header))
			if bytes.Equal(header, test.record.header) {
				t.Fatal("the case changes nothing")
			}
			if strings.HasPrefix(test.name, "succeed:") && len(header) > 64 {
				copy(header[len(header)-64:], ed25519.Sign(device.secret().signing, proofMessage(labelSucceed, header)))
			}
			_, err := ParseRecord(rawFile(&recordFile, header, nil, founder))
			wantError(t, err, ErrDamaged)
		})
	}
}

// FuzzDecision feeds bodies of the kinds from succeed to join, behind a common part that is right.
func FuzzDecision(f *testing.F) {
	founder := fixedDevice(f, 1)
	const common = 1 + 32 + 2 + 32 + 16
	records := testDecisions(f)
	for _, record := range records {
		f.Add(uint8(record.Kind), record.header[common:])
	}
	prefix := records[0].header[1:common]
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		if kind < uint8(KindSucceed) || kind > uint8(KindJoin) {
			return
		}
		header := slices.Concat([]byte{kind}, prefix, body)
		record, err := ParseRecord(rawFile(&recordFile, header, nil, founder))
		if err != nil {
			wantOneOf(t, err)
			return
		}
		if again, err := record.encode(); err != nil || !bytes.Equal(again, header) {
			t.Errorf("encodes to other bytes, error %v", err)
		}
	})
}
