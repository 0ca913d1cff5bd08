package crypto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// identityFromSeed makes the age identity of a 32-byte seed. age takes derived keys only as text.
func identityFromSeed(seed []byte) (*age.HybridIdentity, error) {
	return parseIdentity(strings.ToUpper(bech32Encode("age-secret-key-pq-", seed)))
}

// parseIdentity accepts only the spelling that age writes, however lenient age may become. The errors of age are not passed on, because they may quote
// from the secret.
func parseIdentity(text string) (*age.HybridIdentity, error) {
	identity, err := age.ParseHybridIdentity(text)
	if err != nil || !sameSecret([]byte(identity.String()), []byte(text)) {
		return nil, fmt.Errorf("%w: not an age identity in its one spelling", ErrDamaged)
	}
	return identity, nil
}

// parseRecipient accepts only the spelling that age writes, so that a record has one encoding.
func parseRecipient(text string) (*age.HybridRecipient, error) {
	recipient, err := age.ParseHybridRecipient(text)
	if err != nil || recipient.String() != text {
		return nil, fmt.Errorf("%w: not an age recipient in its one spelling", ErrDamaged)
	}
	return recipient, nil
}

// sealedSizeHint is room for an age file of n bytes for one hybrid recipient, so that sealing a segment of many
// megabytes allocates once: a header of about 1.6 KB, then 16 bytes for every 64 KiB.
func sealedSizeHint(n int) int { return 2048 + n + 16*(n>>16) }

// sealTo appends the parts, one after another, to dst as one age file.
func sealTo(dst *bytes.Buffer, recipient *age.HybridRecipient, parts ...[]byte) error {
	w, err := age.Encrypt(dst, recipient)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return w.Close()
}

// openFile decrypts an age file to its end. Nothing is handed out before that, because age releases the good chunks of
// a file that turns out to be cut off. A plaintext above the limit gives ErrTooLarge.
func openFile(file []byte, identity *age.HybridIdentity, limit int) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(file), identity)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, ErrWrongKey
	}
	if err != nil {
		return nil, fmt.Errorf("%w: not an age file", ErrDamaged)
	}
	// The plaintext is shorter than the file, and one byte of room more lets the end show itself.
	plaintext := make([]byte, min(limit, len(file))+1)
	for n := 0; ; {
		m, err := r.Read(plaintext[n:])
		n += m
		switch {
		case n == len(plaintext):
			return nil, fmt.Errorf("%w: more than %d bytes of plaintext", ErrTooLarge, limit)
		case err == io.EOF:
			return plaintext[:n], nil
		case err != nil:
			return nil, fmt.Errorf("%w: decryption failed", ErrDamaged)
		}
	}
}
