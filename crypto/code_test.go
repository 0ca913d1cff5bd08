package crypto

import (
	"errors"
	"strings"
	"testing"
)

// testCodes have all characters of the alphabet in all kinds of places.
func testCodes() []*Code {
	codes := []*Code{
		fixedCode(InviteCode, 0),
		fixedCode(InviteCode, 0xff),
		fixedCode(RecoveryCode, 0x5a),
		{kind: InviteCode, secret: hidden([16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})},
	}
	for n := range byte(8) {
		codes = append(codes, fixedCode(InviteCode, n*37+11))
	}
	return codes
}

func wantCodeError(t *testing.T, err error, group int) *CodeError {
	t.Helper()
	codeErr, ok := errors.AsType[*CodeError](err)
	if !ok {
		t.Fatalf("got error %v, want a CodeError", err)
	}
	if codeErr.Group != group {
		t.Errorf("got %q, want group %d", err, group)
	}
	return codeErr
}

func TestParseAnyCode(t *testing.T) {
	for _, kind := range []CodeKind{InviteCode, RecoveryCode} {
		code, err := ParseCode(AnyCode, fixedCode(kind, 7).Text())
		if err != nil || code.Kind() != kind || code.secret() != fixedCode(kind, 7).secret() {
			t.Errorf("kind %d: code %v, error %v", kind, code, err)
		}
	}
	if _, err := ParseCode(AnyCode, fixedCode(3, 7).Text()); err == nil {
		t.Error("a code of a kind that does not exist yet was read")
	}
}

func TestCodeRoundTrip(t *testing.T) {
	for _, code := range append(testCodes(), NewCode(InviteCode), NewCode(RecoveryCode)) {
		text := code.Text()
		if len(text) != 41 || strings.Trim(text, codeAlphabet+"-") != "" {
			t.Errorf("text %q is not 41 characters of the alphabet", text)
		}
		spellings := []string{
			text,
			strings.ToLower(text),
			strings.ReplaceAll(text, "-", ""),
			strings.ReplaceAll(text, "-", " "),
			strings.ReplaceAll(text, "-", "–"),
			strings.ReplaceAll(text, "-", "\n"),
			"\t " + strings.ReplaceAll(text, "-", " - ") + "\u00a0\r\n",
			strings.NewReplacer("0", "O", "1", "I").Replace(text),
			strings.NewReplacer("0", "o", "1", "l").Replace(text),
			strings.NewReplacer("1", "L", "-", "").Replace(text),
			strings.NewReplacer("1", "i").Replace(text),
		}
		for _, spelling := range spellings {
			got, err := ParseCode(code.Kind(), spelling)
			if err != nil {
				t.Errorf("%q: %v", spelling, err)
			} else if got.secret() != code.secret() || got.kind != code.kind {
				t.Errorf("%q gives another code", spelling)
			}
		}
	}
	if NewCode(InviteCode).Text() == NewCode(InviteCode).Text() {
		t.Error("two new codes are equal")
	}
}

// TestCodeVector is the vector of FORMAT.md.
func TestCodeVector(t *testing.T) {
	code := &Code{kind: InviteCode, secret: hidden([16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})}
	if got, want := code.Text(), "2001N-081G2-8186J-0W40Y-J2GBS-1G6GP-W3Z0N"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCodeWrongCharacter tries every wrong character in every place.
func TestCodeWrongCharacter(t *testing.T) {
	for _, code := range testCodes() {
		text := code.Text()
		for i := range text {
			if text[i] == '-' {
				continue
			}
			for _, c := range codeAlphabet + "U!*\u00e9" {
				if byte(c) == text[i] {
					continue
				}
				_, err := ParseCode(code.Kind(), text[:i]+string(c)+text[i+1:])
				wantCodeError(t, err, i/6+1)
			}
		}
	}
}

// TestCodeSwap swaps every two characters of a group, and every two groups.
func TestCodeSwap(t *testing.T) {
	for _, code := range testCodes() {
		text := []byte(code.Text())
		for group := range codeGroups {
			for i := group * 6; i < group*6+5; i++ {
				for j := i + 1; j < group*6+5; j++ {
					if text[i] == text[j] {
						continue
					}
					text[i], text[j] = text[j], text[i]
					_, err := ParseCode(code.Kind(), string(text))
					wantCodeError(t, err, group+1)
					text[i], text[j] = text[j], text[i]
				}
			}
		}
		for a := range codeGroups {
			for b := a + 1; b < codeGroups; b++ {
				groups := strings.Split(string(text), "-")
				groups[a], groups[b] = groups[b], groups[a]
				_, err := ParseCode(code.Kind(), strings.Join(groups, "-"))
				wantCodeError(t, err, a+1)
			}
		}
	}
}

// checkedText writes any bits as a code with right check characters.
func checkedText(kind byte, secret [16]byte, checksum byte) string {
	var numbers []byte
	var bits []byte
	for i := 3; i >= 0; i-- {
		bits = append(bits, kind>>i&1)
	}
	for _, b := range append(secret[:], checksum) {
		for i := 7; i >= 0; i-- {
			bits = append(bits, b>>i&1)
		}
	}
	for i := 0; i < len(bits); i += 5 {
		numbers = append(numbers, bits[i]<<4|bits[i+1]<<3|bits[i+2]<<2|bits[i+3]<<1|bits[i+4])
	}
	var text strings.Builder
	for k := 1; k <= 7; k++ {
		d := numbers[(k-1)*4 : k*4]
		check := byte(k) ^ times(2, d[0]) ^ times(4, d[1]) ^ times(8, d[2]) ^ times(16, d[3])
		for _, v := range append([]byte{d[0], d[1], d[2], d[3]}, check) {
			text.WriteByte(codeAlphabet[v])
		}
	}
	return text.String()
}

// times multiplies in GF(32) as polynomials, independently of the code under test.
func times(a, b byte) byte {
	var product uint
	for i := range 5 {
		if b>>i&1 == 1 {
			product ^= uint(a) << i
		}
	}
	for i := 9; i >= 5; i-- {
		if product>>i&1 == 1 {
			product ^= 0b100101 << (i - 5)
		}
	}
	return byte(product)
}

func TestCodeRules(t *testing.T) {
	code := fixedCode(InviteCode, 7)
	text := code.Text()
	plain := strings.ReplaceAll(text, "-", "")
	sum := func(kind CodeKind) byte { return codeChecksum(kind, code.secret()) }
	if got := checkedText(1, code.secret(), sum(1)); got != plain {
		t.Fatalf("two ways of writing a code: %s and %s", got, plain)
	}
	tests := []struct {
		name  string
		text  string
		group int
		says  string
	}{
		{"empty", "", 0, "0 letters"},
		{"too long to look at", strings.Repeat(" ", 257), 0, "too long"},
		{"one character missing, no dashes", plain[:34], 0, "34 letters"},
		{"one character more, no dashes", plain + "0", 0, "36 letters"},
		{"one character missing in group 3", text[:13] + text[14:], 3, "4 characters"},
		{"one character more in group 5", text[:24] + "0" + text[24:], 5, "6 characters"},
		{"one group missing", text[:35], 0, "30 letters"},
		{"letter that is not used", text[:6] + "U" + text[7:], 2, "codes do not have"},
		{"letter behind the last group", text + "?", 0, "codes do not have"},
		{"invalid UTF-8", text[:6] + "\xff" + text[7:], 2, "codes do not have"},
		{"letters win over length", "?", 1, "codes do not have"},
		{"checksum", checkedText(1, code.secret(), sum(1)^1), 0, "more than one place"},
		{"kind 0", checkedText(0, code.secret(), sum(0)), 0, "newer version"},
		{"kind 3", checkedText(3, code.secret(), sum(3)), 0, "newer version"},
		{"kind 15", checkedText(15, code.secret(), sum(15)), 0, "newer version"},
		{"recovery code", checkedText(2, code.secret(), sum(2)), 0, "is a recovery code"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseCode(InviteCode, test.text)
			wantCodeError(t, err, test.group)
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %q does not say %q", err, test.says)
			}
		})
	}
	_, err := ParseCode(RecoveryCode, text)
	if wantCodeError(t, err, 0); !strings.Contains(err.Error(), "is an invite code") {
		t.Errorf("error %q", err)
	}
	_, err = ParseCode(InviteCode, text[:9]+"Z"+text[10:])
	if strings.Contains(err.Error(), text[6:9]) {
		t.Errorf("error %q repeats the code", err)
	}
}

func FuzzCode(f *testing.F) {
	for _, code := range testCodes() {
		f.Add(code.Text())
	}
	f.Add("12345-ABCDE")
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []CodeKind{InviteCode, RecoveryCode} {
			code, err := ParseCode(kind, text)
			if err != nil {
				if _, ok := errors.AsType[*CodeError](err); !ok {
					t.Errorf("error %v is no CodeError", err)
				}
				continue
			}
			again, err := ParseCode(kind, code.Text())
			if err != nil || again.secret() != code.secret() {
				t.Errorf("%q does not survive being written: %v", text, err)
			}
		}
	})
}
