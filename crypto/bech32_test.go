package crypto

import (
	"bytes"
	"crypto/rand"
	"testing"

	"filippo.io/age"
)

// TestBech32 uses vectors of BIP 173: the empty string, and 20 bytes and more in their five-bit form.
func TestBech32(t *testing.T) {
	tests := []struct {
		prefix string
		data   []byte
		want   string
	}{
		{"a", nil, "a12uel5l"},
		{"?", nil, "?1ezyfcl"},
		{"abcdef", []byte{0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf, 0x84, 0x65, 0x3a, 0x56, 0xd7, 0xc6, 0x75, 0xbe, 0x77, 0xdf}, "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"},
	}
	for _, test := range tests {
		if got := bech32Encode(test.prefix, test.data); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

// TestIdentityFromSeed holds our encoder against age's own for random keys.
func TestIdentityFromSeed(t *testing.T) {
	for range 20 {
		var seed [32]byte
		if _, err := rand.Read(seed[:]); err != nil {
			t.Fatal(err)
		}
		identity, err := identityFromSeed(seed[:])
		if err != nil {
			t.Fatal(err)
		}
		if len(identity.String()) != identitySize || len(identity.Recipient().String()) != recipientSize {
			t.Fatalf("identity of %d and recipient of %d characters", len(identity.String()), len(identity.Recipient().String()))
		}
		var file bytes.Buffer
		if err := sealTo(&file, identity.Recipient(), seed[:]); err != nil {
			t.Fatal(err)
		}
		if got, err := openFile(file.Bytes(), identity, 32); err != nil || !bytes.Equal(got, seed[:]) {
			t.Fatalf("plaintext %x, error %v", got, err)
		}
	}
}

func TestOneSpelling(t *testing.T) {
	identity := fixedDevice(t, 1).secret().age
	for _, text := range []string{"", string(bytes.ToLower([]byte(identity.String()))), identity.String() + "\n", "x"} {
		_, err := parseIdentity(text)
		wantError(t, err, ErrDamaged)
	}
	recipient := identity.Recipient().String()
	for _, text := range []string{"", string(bytes.ToUpper([]byte(recipient))), recipient[1:]} {
		_, err := parseRecipient(text)
		wantError(t, err, ErrDamaged)
	}
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseIdentity(classic.String()); err == nil {
		t.Error("accepted an identity that is not post-quantum")
	}
	if _, err := parseRecipient(classic.Recipient().String()); err == nil {
		t.Error("accepted a recipient that is not post-quantum")
	}
}
