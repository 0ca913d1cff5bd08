package crypto

import "strings"

// bech32Encode writes data as Bech32 (BIP 173, https://github.com/bitcoin/bips/blob/master/bip-0173.mediawiki) with a
// lower-case prefix. As in age there is no limit of 90 characters. age decodes but does not export an encoder, and a
// key that is derived from a code must be handed to it as text.
func bech32Encode(prefix string, data []byte) string {
	const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

	// The checksum covers the high bits of the prefix, a zero, its low bits, then the data in numbers of five bits.
	values := make([]byte, 0, 2*len(prefix)+1+(len(data)*8+4)/5+6)
	for i := range len(prefix) {
		values = append(values, prefix[i]>>5)
	}
	values = append(values, 0)
	for i := range len(prefix) {
		values = append(values, prefix[i]&31)
	}
	start := len(values)
	var bits, count uint
	for _, b := range data {
		bits = bits<<8 | uint(b)
		for count += 8; count >= 5; count -= 5 {
			values = append(values, byte(bits>>(count-5))&31)
		}
		bits &= 1<<count - 1
	}
	if count > 0 {
		values = append(values, byte(bits<<(5-count))&31)
	}

	sum := bech32Sum(append(values, 0, 0, 0, 0, 0, 0)) ^ 1
	for shift := 25; shift >= 0; shift -= 5 {
		values = append(values, byte(sum>>shift)&31)
	}

	var text strings.Builder
	text.WriteString(prefix)
	text.WriteByte('1')
	for _, v := range values[start:] {
		text.WriteByte(alphabet[v])
	}
	return text.String()
}

// bech32Sum is the BCH code of BIP 173.
func bech32Sum(values []byte) uint32 {
	generator := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	sum := uint32(1)
	for _, v := range values {
		top := sum >> 25
		sum = (sum&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range generator {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	return sum
}
