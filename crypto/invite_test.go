package crypto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

func testInviteFile(t testing.TB) *InviteFile {
	t.Helper()
	return &InviteFile{
		Space:   testSpace,
		Invite:  RecordHash{2},
		Newest:  []RecordHash{{1}, {2}},
		Epochs:  []*Epoch{fixedEpoch(t, 8), fixedEpoch(t, 9)},
		Expires: 5000,
	}
}

func TestInviteFileRoundTrip(t *testing.T) {
	keys, want := fixedInvite(t, 4), testInviteFile(t)
	file, err := keys.Seal(want)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file, want.Space[:]) || strings.Contains(string(file), "SECRET") {
		t.Error("the file is not encrypted")
	}
	got, err := keys.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.Space != want.Space || got.Invite != want.Invite || got.Expires != want.Expires || !slices.Equal(got.Newest, want.Newest) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(got.Epochs) != 2 || got.Epochs[0].ID() != want.Epochs[0].ID() || got.Epochs[1].ID() != want.Epochs[1].ID() {
		t.Errorf("epochs %v, want %v", got.Epochs, want.Epochs)
	}
	_, err = fixedInvite(t, 5).Open(file)
	wantError(t, err, ErrWrongKey)
	for n := range file {
		if _, err := keys.Open(file[:n]); err == nil {
			t.Errorf("accepted when cut at byte %d", n)
		}
		file[n] ^= 1 << (n % 8)
		if _, err := keys.Open(file); err == nil {
			t.Errorf("accepted with byte %d changed", n)
		}
		file[n] ^= 1 << (n % 8)
	}
}

func TestInviteFileRules(t *testing.T) {
	keys := fixedInvite(t, 4)
	plaintext, err := testInviteFile(t).encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseInviteFile(plaintext); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*InviteFile)) []byte {
		f := testInviteFile(t)
		change(f)
		plaintext, err := f.encode()
		if err != nil {
			t.Fatal(err)
		}
		return plaintext
	}
	hashes := make([]RecordHash, 257)
	for i := range hashes {
		hashes[i] = RecordHash{byte(i >> 8), byte(i)}
	}
	const epochsAt = 20 + 32 + 32 + 2 + 64
	tests := []struct {
		name      string
		plaintext []byte
		want      error
	}{
		{"empty", nil, ErrDamaged},
		{"other magic", append([]byte("sqlitesync Invite 1\n"), plaintext[20:]...), ErrNotOurs},
		{"newer", append([]byte("sqlitesync invite 2\n"), plaintext[20:]...), ErrVersion},
		{"byte after the end", append(bytes.Clone(plaintext), 0), ErrDamaged},
		{"no newest", with(func(f *InviteFile) { f.Newest = nil }), ErrDamaged},
		{"257 newest", with(func(f *InviteFile) { f.Newest = hashes }), ErrDamaged},
		{"newest not rising", with(func(f *InviteFile) { slices.Reverse(f.Newest) }), ErrDamaged},
		{"newest twice", with(func(f *InviteFile) { f.Newest[1] = f.Newest[0] }), ErrDamaged},
		{"no epochs", with(func(f *InviteFile) { f.Epochs = nil }), ErrDamaged},
		{"1025 epochs", with(func(f *InviteFile) { f.Epochs = slices.Repeat(f.Epochs[:1], 1025) }), ErrDamaged},
		{"epoch twice", with(func(f *InviteFile) { f.Epochs[1] = f.Epochs[0] }), ErrDamaged},
		{"epoch in lower case", slices.Concat(plaintext[:epochsAt+4], bytes.ToLower(plaintext[epochsAt+4:epochsAt+4+identitySize]), plaintext[epochsAt+4+identitySize:]), ErrDamaged},
		{"empty epoch", slices.Concat(plaintext[:epochsAt+2], []byte{0, 0}, plaintext[epochsAt+4+identitySize:]), ErrDamaged},
		{"epochs claim more than there is", slices.Concat(plaintext[:epochsAt], []byte{4, 0}, plaintext[epochsAt+2:]), ErrDamaged},
		{"time above the limit", with(func(f *InviteFile) { f.Expires = maxTime + 1 }), ErrDamaged},
		{"above the limit", make([]byte, MaxInviteFile+1), ErrTooLarge},
	}
	for n := range plaintext {
		tests = append(tests, struct {
			name      string
			plaintext []byte
			want      error
		}{"cut", plaintext[:n], ErrDamaged})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.want != ErrTooLarge {
				_, err := parseInviteFile(test.plaintext)
				wantError(t, err, test.want)
			}
			if test.name == "cut" {
				return
			}
			var file bytes.Buffer
			if err := sealTo(&file, keys.secret().recipient, test.plaintext); err != nil {
				t.Fatal(err)
			}
			_, err := keys.Open(file.Bytes())
			wantError(t, err, test.want)
		})
	}

	for name, change := range map[string]func(*InviteFile){
		"no newest":  func(f *InviteFile) { f.Newest = nil },
		"257 newest": func(f *InviteFile) { f.Newest = hashes },
		"no epochs":  func(f *InviteFile) { f.Epochs = nil },
		"expires":    func(f *InviteFile) { f.Expires = maxTime + 1 },
		"epoch":      func(f *InviteFile) { f.Epochs[1] = f.Epochs[0] },
	} {
		f := testInviteFile(t)
		change(f)
		if _, err := keys.Seal(f); err == nil {
			t.Errorf("sealed: %s", name)
		}
	}
}

func TestInviteFileCheck(t *testing.T) {
	h := newHistory(t)
	keys := fixedInvite(t, 20)
	founded := h.roster()
	invite := h.invite(fixedDevice(t, 1), 20, Writer, h.found)
	roster := h.roster()
	f := &InviteFile{
		Space: h.space, Invite: invite.Hash(), Newest: roster.Heads(),
		Epochs: []*Epoch{fixedEpoch(t, 9)}, Expires: 100,
	}
	if err := f.Check(roster, keys); err != nil {
		t.Error(err)
	}
	err := f.Check(founded, keys)
	if missing, ok := errors.AsType[*MissingError](err); !ok || !slices.Contains(missing.Records, invite.Hash()) {
		t.Errorf("an older roster gives error %v", err)
	}
	wantError(t, f.Check(roster, fixedInvite(t, 21)), ErrInvite)
	other, err := ReadRoster(SpaceID{1}, h.records)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, f.Check(other, keys), ErrInvite)
	h.admit(invite, 20, 2, 50, invite)
	wantError(t, f.Check(h.roster(), keys), ErrInvite)
}

// TestInviteKeysVector is the vector of FORMAT.md.
func TestInviteKeysVector(t *testing.T) {
	code := &Code{kind: InviteCode, secret: hidden([16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})}
	keys, err := code.InviteKeys()
	if err != nil {
		t.Fatal(err)
	}
	public := keys.PublicKey()
	got := []string{keys.FileName(), hex.EncodeToString(public[:]), keys.secret().age.String()}
	want := []string{
		"73457a0dd7241540ddfcd9794cca72a5.age",
		"f72eb4a8baf2df9c4362116a81d1c13194545854cfc2b728352dfd99c0e5b041",
		"AGE-SECRET-KEY-PQ-1LACNGQ7AVYZ85DL08MFKLLK9W3RE0LJZJ03VKU46DYX8GJQTQWWQJ95P7T",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCodeOfOtherKind(t *testing.T) {
	if _, err := fixedCode(RecoveryCode, 1).InviteKeys(); err == nil {
		t.Error("invite keys from a recovery code")
	}
	if _, err := fixedCode(InviteCode, 1).RecoveryKeys(); err == nil {
		t.Error("recovery keys from an invite code")
	}
}

func FuzzInviteFile(f *testing.F) {
	plaintext, err := testInviteFile(f).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plaintext)
	f.Fuzz(func(t *testing.T, plaintext []byte) {
		file, err := parseInviteFile(plaintext)
		if err != nil {
			wantOneOf(t, err)
			return
		}
		if again, err := file.encode(); err != nil || !bytes.Equal(again, plaintext) {
			t.Errorf("encodes to other bytes, error %v", err)
		}
	})
}
