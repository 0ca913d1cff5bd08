package crypto

import (
	"crypto/ed25519"
	"encoding/hex"
	"testing"
)

// TestUsableSigningKey shows first that the refused keys of small order are what they are said to be: for each of them a
// signature that nobody made verifies for some message.
func TestUsableSigningKey(t *testing.T) {
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	} {
		bytes, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		key := [32]byte(bytes)
		for range 2 {
			forged := make([]byte, 64) // R is the neutral element, S is 0: verifies where k·A is neutral
			forged[0] = 1
			verifies := false
			for message := range byte(255) {
				verifies = verifies || ed25519.Verify(key[:], []byte{message}, forged)
			}
			if !verifies {
				t.Errorf("key %x is not of small order", key)
			}
			if usableSigningKey(key) {
				t.Errorf("key %x of small order is usable", key)
			}
			key[31] ^= 0x80
		}
	}
	for text, want := range map[string]bool{
		"ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": true,  // p - 2
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": false, // p
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": false, // p + 1
		"efffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff": false,
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff": false,
		"edfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe7f": true,
		"0200000000000000000000000000000000000000000000000000000000000080": true,
	} {
		bytes, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := usableSigningKey([32]byte(bytes)); got != want {
			t.Errorf("key %s usable: %v, want %v", text, got, want)
		}
	}
	for n := range byte(50) {
		if keys := fixedDevice(t, n).Public(); !usableSigningKey(keys.Signing) {
			t.Errorf("an ordinary key is not usable: %x", keys.Signing)
		}
	}
}
