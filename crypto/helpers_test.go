package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
)

// Fixed keys: the seeds are one byte repeated. They are kept, since making hybrid keys takes a while.
var (
	fixedDevices sync.Map
	fixedInvites sync.Map
	fixedCodes   sync.Map
)

func fixedDevice(t testing.TB, n byte) *DeviceKeys {
	t.Helper()
	if kept, ok := fixedDevices.Load(n); ok {
		return kept.(*DeviceKeys)
	}
	identity, err := identityFromSeed(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	keys := deviceKeysOf(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)), identity)
	fixedDevices.Store(n, keys)
	return keys
}

func fixedEpoch(t testing.TB, n byte) *Epoch {
	t.Helper()
	identity, err := identityFromSeed(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return epochOf(identity)
}

func fixedCode(kind CodeKind, n byte) *Code {
	return &Code{kind: kind, secret: hidden([16]byte(bytes.Repeat([]byte{n}, 16)))}
}

func fixedInvite(t testing.TB, n byte) *InviteKeys {
	t.Helper()
	if kept, ok := fixedInvites.Load(n); ok {
		return kept.(*InviteKeys)
	}
	keys, err := fixedCode(InviteCode, n).InviteKeys()
	if err != nil {
		t.Fatal(err)
	}
	fixedInvites.Store(n, keys)
	return keys
}

// fixedRecovery returns the keys of a recovery code.
func fixedRecovery(t testing.TB, n byte) *DeviceKeys {
	t.Helper()
	if kept, ok := fixedCodes.Load(n); ok {
		return kept.(*DeviceKeys)
	}
	keys, err := fixedCode(RecoveryCode, n).RecoveryKeys()
	if err != nil {
		t.Fatal(err)
	}
	fixedCodes.Store(n, keys)
	return keys
}

// fixedKeys returns the keys with the id, of those that were asked for before.
func fixedKeys(t testing.TB, id DeviceID) (found *DeviceKeys) {
	t.Helper()
	for _, kept := range []*sync.Map{&fixedDevices, &fixedCodes} {
		kept.Range(func(_, keys any) bool {
			if keys.(*DeviceKeys).id == id {
				found = keys.(*DeviceKeys)
			}
			return found == nil
		})
	}
	if found == nil {
		t.Fatalf("no fixed keys have the id %s", id)
	}
	return found
}

// wantOneOf checks that exactly one of the sentinels matches.
func wantOneOf(t testing.TB, err error) {
	t.Helper()
	var matches int
	for _, sentinel := range []error{ErrNotOurs, ErrVersion, ErrDamaged, ErrSignature, ErrWrongKey, ErrTooLarge} {
		if errors.Is(err, sentinel) {
			matches++
		}
	}
	if matches != 1 {
		t.Errorf("error %v matches %d sentinels, want 1", err, matches)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// rawFile puts a signed file together as written, right or wrong.
func rawFile(k *fileKind, header, payload []byte, signer *DeviceKeys) []byte {
	return append(k.appendSigned(nil, header, signer.sign(k.label, header)), payload...)
}

// measured completes a bound part with the length and hash of the payload.
func measured(bound, payload []byte) []byte {
	sum := sha256.Sum256(payload)
	return append(binary.BigEndian.AppendUint64(bytes.Clone(bound), uint64(len(payload))), sum[:]...)
}
