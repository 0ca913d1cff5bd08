package crypto

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

func testFound(t testing.TB) *Record {
	t.Helper()
	found, err := NewFound(fixedDevice(t, 1), fixedEpoch(t, 9), 1000, true, fixedRecovery(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func testInvite(t testing.TB) *Record {
	t.Helper()
	body := Invite{PublicKey: fixedInvite(t, 4).PublicKey(), Role: Writer, Created: 2000, Expires: 3000}
	invite, err := newInvite(fixedDevice(t, 1), testSpace, []RecordHash{{1}, {2}}, body)
	if err != nil {
		t.Fatal(err)
	}
	return invite
}

func testAdmit(t testing.TB) *Record {
	t.Helper()
	admit, err := newAdmit(fixedInvite(t, 4), testSpace, []RecordHash{{7}}, RecordHash{7}, fixedDevice(t, 2), 2500)
	if err != nil {
		t.Fatal(err)
	}
	return admit
}

// unsupportedRecord is an authentic record of another kind, with a body that nobody can read.
func unsupportedRecord(kind Kind, space SpaceID, parents []RecordHash, author *DeviceKeys) []byte {
	var b cryptobyte.Builder
	b.AddUint8(uint8(kind))
	b.AddBytes(space[:])
	addHashes(&b, parents)
	b.AddBytes(author.id[:])
	b.AddBytes([]byte("a body"))
	return rawFile(&recordFile, b.BytesOrPanic(), nil, author)
}

func TestRecordRoundTrip(t *testing.T) {
	for _, record := range []*Record{testFound(t), testInvite(t), testAdmit(t)} {
		file := record.File()
		again, err := ParseRecord(file)
		if err != nil {
			t.Fatalf("%s: %v", record.Kind, err)
		}
		clear(file) // the record must not depend on the buffer
		if again.Hash() != record.Hash() || !bytes.Equal(again.File(), record.File()) {
			t.Errorf("%s: another record", record.Kind)
		}
		header, err := again.encode()
		if err != nil || !bytes.Equal(header, record.header) {
			t.Errorf("%s: encodes to other bytes, error %v", record.Kind, err)
		}
	}
	found := testFound(t).Body.(*Found)
	if found.Created != 1000 || !found.ForeignKeys || found.Founder != fixedDevice(t, 1).Public() || found.Recovery == nil {
		t.Errorf("found %+v", found)
	}
	invite := testInvite(t)
	if got, want := *invite.Body.(*Invite), (Invite{fixedInvite(t, 4).PublicKey(), Writer, 2000, 3000}); got != want {
		t.Errorf("invite %+v, want %+v", got, want)
	}
	if !slices.Equal(invite.Parents, []RecordHash{{1}, {2}}) || invite.Space != testSpace || invite.SpaceID() != testSpace || invite.Author != fixedDevice(t, 1).ID() {
		t.Errorf("common part %+v", invite)
	}
	admit := testAdmit(t).Body.(*Admit)
	if admit.Invite != (RecordHash{7}) || admit.Created != 2500 || admit.Keys != fixedDevice(t, 2).Public() {
		t.Errorf("admit %+v", admit)
	}
}

func TestFoundMakesSpace(t *testing.T) {
	a, b := testFound(t), testFound(t)
	if a.SpaceID() == (SpaceID{}) || a.SpaceID() == b.SpaceID() {
		t.Error("two foundings, which wrap an epoch anew, make one space")
	}
	plain, err := NewFound(fixedDevice(t, 1), fixedEpoch(t, 9), 1000, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body := plain.Body.(*Found); body.ForeignKeys || body.Recovery != nil {
		t.Errorf("found %+v", body)
	}
}

// TestRecordRules has cases for R1 to R12 of FORMAT.md. Each changes the header of a good record, which is then signed
// again, so nothing but the rule can refuse it.
func TestRecordRules(t *testing.T) {
	founder, device, invite := fixedDevice(t, 1), fixedDevice(t, 2), fixedInvite(t, 4)
	found, inv, adm := testFound(t), testInvite(t), testAdmit(t)
	offset := func(record *Record) int { return 1 + 32 + 2 + 32*len(record.Parents) + 16 }

	set := func(at int, values ...byte) func([]byte) []byte {
		return func(header []byte) []byte { copy(header[at:], values); return header }
	}
	body := func(change func(*Found)) func([]byte) []byte {
		return func([]byte) []byte {
			copied := *found.Body.(*Found)
			copied.Epoch.Wraps = slices.Clone(copied.Epoch.Wraps)
			change(&copied)
			record := *found
			record.Body = &copied
			header, err := record.encode()
			if err != nil {
				t.Fatal(err)
			}
			return header
		}
	}
	parents := func(list ...RecordHash) func([]byte) []byte {
		return func([]byte) []byte {
			record := *inv
			record.Parents = list
			header, err := record.encode()
			if err != nil {
				t.Fatal(err)
			}
			return header
		}
	}
	many := make([]RecordHash, 257)
	for i := range many {
		many[i] = RecordHash{byte(i >> 8), byte(i)}
	}
	recipientAt := offset(adm) + 32 + 8 + 32 + 2
	late := []byte{0, 0, 0xe6, 0x77, 0xd2, 0x1f, 0xdc, 0x00} // one above the end of the year 9999

	tests := []struct {
		name   string
		record *Record
		change func([]byte) []byte
	}{
		{"kind 0", inv, set(0, 0)},
		{"header ends early", inv, func(h []byte) []byte { return h[:len(h)-1] }},
		{"bytes follow", inv, func(h []byte) []byte { return append(h, 0) }},
		{"header ends in the common part", inv, func(h []byte) []byte { return h[:40] }},
		{"no parents", inv, parents()},
		{"parents not rising", inv, parents(RecordHash{2}, RecordHash{1})},
		{"parent twice", inv, parents(RecordHash{1}, RecordHash{1})},
		{"257 parents", inv, parents(many...)},
		{"found with a parent", found, func(h []byte) []byte {
			return slices.Concat(h[:33], []byte{0, 1}, make([]byte, 32), h[35:])
		}},
		{"found with a space", found, set(1, 1)},
		{"found: time above the limit", found, set(offset(found), late...)},
		{"invite: time above the limit", inv, set(offset(inv)+33, slices.Concat(late, late)...)},
		{"invite: expires above the limit", inv, set(offset(inv)+41, late...)},
		{"admit: time above the limit", adm, set(offset(adm)+32, late...)},
		{"expires before created", inv, set(offset(inv)+41, 0, 0, 0, 0, 0, 0, 0x07, 0xcf)},
		{"role 0", inv, set(offset(inv)+32, 0)},
		{"role 4", inv, set(offset(inv)+32, 4)},
		{"foreign_keys 0", found, set(offset(found)+8, 0)},
		{"foreign_keys 3", found, set(offset(found)+8, 3)},
		{"invite: key of small order", inv, set(offset(inv), make([]byte, 32)...)},
		{"invite: key not below p", inv, set(offset(inv), slices.Concat([]byte{0xed}, bytes.Repeat([]byte{0xff}, 31))...)},
		{"presence byte 2", found, set(offset(found)+9+32+2+recipientSize, 2)},
		{"admit: recipient in upper case", adm, func(h []byte) []byte {
			copy(h[recipientAt:], bytes.ToUpper(h[recipientAt:recipientAt+recipientSize]))
			return h
		}},
		{"admit: recipient with a wrong letter", adm, set(recipientAt+100, 'b')},
		{"admit: empty recipient", adm, func(h []byte) []byte {
			return slices.Concat(h[:recipientAt-2], []byte{0, 0}, h[recipientAt+recipientSize:])
		}},
		{"found: recipient with a wrong letter", found, set(offset(found)+9+32+2+100, 'b')},
		{"admit: author is another", adm, set(35+32, 1, 2, 3)},
		{"found: author is another", found, set(35, 1, 2, 3)},
		{"proof by another key", adm, func(h []byte) []byte {
			return append(h[:len(h)-64], ed25519.Sign(founder.secret().signing, proofMessage(labelAdmit, h))...)
		}},
		{"proof for something else", adm, set(offset(adm), 8)},
		{"found: no wraps", found, body(func(f *Found) { f.Epoch.Wraps = nil })},
		{"found: wraps not rising", found, body(func(f *Found) { slices.Reverse(f.Epoch.Wraps) })},
		{"found: wrap twice", found, body(func(f *Found) { f.Epoch.Wraps = append(f.Epoch.Wraps, f.Epoch.Wraps[1]) })},
		{"found: empty wrap", found, body(func(f *Found) { f.Epoch.Wraps[0].File = nil })},
		{"found: wrap above the limit", found, body(func(f *Found) { f.Epoch.Wraps[0].File = make([]byte, 4097) })},
		{"found: 130 wraps", found, body(func(f *Found) {
			wraps := make([]Wrap, 128)
			for i := range wraps {
				wraps[i] = Wrap{Member: DeviceID{0, byte(i)}, File: []byte{1}}
			}
			f.Epoch.Wraps = slices.Concat(wraps, f.Epoch.Wraps)
		})},
		{"found: no wrap for the founder", found, body(func(f *Found) {
			f.Epoch.Wraps = slices.DeleteFunc(f.Epoch.Wraps, func(w Wrap) bool { return w.Member == founder.ID() })
		})},
		{"found: no wrap for the recovery key", found, body(func(f *Found) {
			f.Epoch.Wraps = slices.DeleteFunc(f.Epoch.Wraps, func(w Wrap) bool { return w.Member != founder.ID() })
		})},
		{"found: recovery key is the founder's", found, body(func(f *Found) { f.Recovery = &RecoveryKey{PublicKeys: founder.Public()} })},
		{"found: proof of the recovery key", found, body(func(f *Found) { key := *f.Recovery; key.Proof[0] ^= 1; f.Recovery = &key })},
	}
	signers := map[Kind]ed25519.PrivateKey{
		KindFound: founder.secret().signing, KindInvite: founder.secret().signing, KindAdmit: invite.secret().signing,
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header := test.change(bytes.Clone(test.record.header))
			if bytes.Equal(header, test.record.header) {
				t.Fatal("the case changes nothing")
			}
			if strings.HasPrefix(test.name, "admit:") {
				copy(header[len(header)-64:], ed25519.Sign(device.secret().signing, proofMessage(labelAdmit, header)))
			}
			signature := ed25519.Sign(signers[test.record.Kind], signedBytes(recordFile.label, header))
			_, err := ParseRecord(recordFile.appendSigned(nil, header, signature))
			wantError(t, err, ErrDamaged)
		})
	}

	t.Run("found signed by another", func(t *testing.T) {
		_, err := ParseRecord(rawFile(&recordFile, found.header, nil, device))
		wantError(t, err, ErrDamaged)
	})
	t.Run("bytes after the signature", func(t *testing.T) {
		_, err := ParseRecord(append(inv.File(), 0))
		wantError(t, err, ErrDamaged)
	})
	t.Run("header above the limit", func(t *testing.T) {
		_, err := recordFile.split(rawFile(&recordFile, make([]byte, 256<<10+1), nil, founder))
		wantError(t, err, ErrDamaged)
		_, err = recordFile.split(rawFile(&recordFile, make([]byte, 256<<10), nil, founder))
		wantError(t, err, nil)
	})
	t.Run("header of length 0", func(t *testing.T) {
		_, err := ParseRecord(rawFile(&recordFile, nil, nil, founder))
		wantError(t, err, ErrDamaged)
	})
	t.Run("newer", func(t *testing.T) {
		_, err := ParseRecord([]byte("sqlitesync record 2\n"))
		wantError(t, err, ErrVersion)
	})
	t.Run("a list that claims more than there is", func(t *testing.T) {
		header := bytes.Clone(inv.header)
		header[33], header[34] = 1, 0
		_, err := ParseRecord(rawFile(&recordFile, header, nil, founder))
		wantError(t, err, ErrDamaged)
	})
}

// TestRecordWriteRules checks that what a reader would reject is never written.
func TestRecordWriteRules(t *testing.T) {
	founder := fixedDevice(t, 1)
	if _, err := NewFound(founder, fixedEpoch(t, 9), maxTime+1, false, nil); err == nil {
		t.Error("wrote a found record after the year 9999")
	}
	if _, err := NewFound(founder, fixedEpoch(t, 9), 1, false, founder); err == nil {
		t.Error("wrote a found record with the founder as recovery key")
	}
	key := fixedInvite(t, 4).PublicKey()
	if _, err := newInvite(founder, testSpace, []RecordHash{{1}}, Invite{PublicKey: key, Role: Reader}); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]Invite{
		"role 0":  {PublicKey: key, Expires: 1},
		"role 4":  {PublicKey: key, Role: 4, Expires: 1},
		"expires": {PublicKey: key, Role: Reader, Created: 2, Expires: 1},
		"key":     {Role: Reader},
	} {
		if _, err := newInvite(founder, testSpace, []RecordHash{{1}}, body); err == nil {
			t.Errorf("wrote an invite: %s", name)
		}
	}
}

func TestRecordTamper(t *testing.T) {
	if testing.Short() {
		t.Skip("much work in one thread")
	}
	// Flipped bits of a found record are found at once. In others a flip of the signature shows in ReadRoster.
	file := testFound(t).File()
	for i := range file {
		file[i] ^= 1 << (i % 8)
		if _, err := ParseRecord(file); err == nil {
			t.Errorf("byte %d changed, and accepted", i)
		}
		file[i] ^= 1 << (i % 8)
	}
	for n := range file {
		_, err := ParseRecord(file[:n])
		wantError(t, err, ErrDamaged)
	}
}

func TestUnsupportedKind(t *testing.T) {
	for _, kind := range []Kind{9, 10, 255} {
		record, err := ParseRecord(unsupportedRecord(kind, testSpace, []RecordHash{{1}}, fixedDevice(t, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if record.Kind != kind || record.Body != nil || record.Author != fixedDevice(t, 1).ID() || len(record.Parents) != 1 {
			t.Errorf("record %+v", record)
		}
	}
	_, err := ParseRecord(unsupportedRecord(9, testSpace, nil, fixedDevice(t, 1)))
	wantError(t, err, ErrDamaged)
	err = &KindError{Kind: KindRevoke, Record: RecordHash{0xab}}
	if !strings.Contains(err.Error(), `"revoke"`) || !strings.Contains(err.Error(), "ab000000:") {
		t.Errorf("error %q", err)
	}
}

func TestWrappedEpoch(t *testing.T) {
	founder, other := fixedDevice(t, 1), fixedDevice(t, 2)
	recovery, err := fixedCode(RecoveryCode, 3).RecoveryKeys()
	if err != nil {
		t.Fatal(err)
	}
	wrapped := testFound(t).Body.(*Found).Epoch
	for _, keys := range []*DeviceKeys{founder, recovery} {
		epoch, err := wrapped.Open(keys)
		if err != nil || epoch.ID() != fixedEpoch(t, 9).ID() || epoch.secret().identity.String() != fixedEpoch(t, 9).secret().identity.String() {
			t.Errorf("epoch %v, error %v", epoch, err)
		}
	}
	_, err = wrapped.Open(other)
	wantError(t, err, ErrWrongKey)

	wrap := func(plaintext string, recipient PublicKeys) Wrap {
		parsed, err := parseRecipient(recipient.Recipient)
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := sealTo(&file, parsed, []byte(plaintext)); err != nil {
			t.Fatal(err)
		}
		return Wrap{Member: founder.ID(), File: file.Bytes()}
	}
	identity := fixedEpoch(t, 9).secret().identity.String()
	tests := []struct {
		name string
		wrap Wrap
		want error
	}{
		{"good", wrap(identity, founder.Public()), nil},
		{"another epoch", wrap(fixedEpoch(t, 10).secret().identity.String(), founder.Public()), ErrDamaged},
		{"line end", wrap(identity+"\n", founder.Public()), ErrDamaged},
		{"lower case", wrap(strings.ToLower(identity), founder.Public()), ErrDamaged},
		{"long", wrap(strings.Repeat("A", 5000), founder.Public()), ErrTooLarge},
		{"for another member", wrap(identity, other.Public()), ErrWrongKey},
		{"not age", Wrap{Member: founder.ID(), File: []byte("x")}, ErrDamaged},
	}
	for _, test := range tests {
		_, err := WrappedEpoch{ID: fixedEpoch(t, 9).ID(), Wraps: []Wrap{test.wrap}}.Open(founder)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: error %q", test.name, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, record := range []*Record{testFound(f), testInvite(f), testAdmit(f)} {
		f.Add(record.File())
	}
	f.Add(unsupportedRecord(KindRevoke, testSpace, []RecordHash{{1}}, fixedDevice(f, 1)))
	f.Fuzz(func(t *testing.T, file []byte) {
		record, err := ParseRecord(file)
		if err != nil {
			wantOneOf(t, err)
			return
		}
		if !bytes.Equal(record.File(), file) {
			t.Error("encodes to other bytes")
		}
		if record.Body != nil {
			if header, err := record.encode(); err != nil || !bytes.Equal(header, record.header) {
				t.Errorf("header encodes to other bytes, error %v", err)
			}
		}
		if _, err := ReadRoster(record.SpaceID(), []*Record{record}); err != nil {
			t.Errorf("roster of one record: %v", err)
		}
	})
}
