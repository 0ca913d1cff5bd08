package crypto

import (
	"bytes"
	"math"
	"testing"
)

// TestEnvelopeRules has cases for S1 to S5 of FORMAT.md.
func TestEnvelopeRules(t *testing.T) {
	device, epoch := fixedDevice(t, 1), fixedEpoch(t, 9)
	header := testHeader()
	header.Device, header.Epoch = device.ID(), epoch.ID()
	payload := []byte("payload")
	whole := measured(header.bound(), payload)
	good := rawFile(&segmentFile, whole, payload, device)
	if _, err := ParseSegment(good); err != nil {
		t.Fatal(err)
	}
	magic := "sqlitesync segment 1\n"
	withMagic := func(line string) []byte { return append([]byte(line), good[len(magic):]...) }
	withHeader := func(header []byte) []byte { return rawFile(&segmentFile, header, payload, device) }
	length := func(n uint32) []byte {
		file := bytes.Clone(good)
		file[len(magic)], file[len(magic)+1], file[len(magic)+2], file[len(magic)+3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		return file
	}
	empty := measured(header.bound(), nil)

	tests := []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, ErrDamaged},
		{"part of the magic line", []byte("sqlitesync se"), ErrDamaged},
		{"magic line without number", []byte("sqlitesync segment "), ErrDamaged},
		{"magic line without end", []byte("sqlitesync segment 1"), ErrDamaged},
		{"magic line alone", []byte(magic), ErrDamaged},
		{"zeros", make([]byte, 4096), ErrNotOurs},
		{"text", []byte("hello"), ErrNotOurs},
		{"head", withMagic("sqlitesync head 1\n"), ErrNotOurs},
		{"record", withMagic("sqlitesync record 1\n"), ErrNotOurs},
		{"no number", withMagic("sqlitesync segment \n"), ErrNotOurs},
		{"version 0", withMagic("sqlitesync segment 0\n"), ErrNotOurs},
		{"version 01", withMagic("sqlitesync segment 01\n"), ErrNotOurs},
		{"version 1 with carriage return", withMagic("sqlitesync segment 1\r\n"), ErrNotOurs},
		{"version -1", withMagic("sqlitesync segment -1\n"), ErrNotOurs},
		{"version of ten digits", withMagic("sqlitesync segment 1000000000\n"), ErrNotOurs},
		{"upper case", withMagic("SQLITESYNC segment 1\n"), ErrNotOurs},
		{"version 2", withMagic("sqlitesync segment 2\n"), ErrVersion},
		{"version 10", withMagic("sqlitesync segment 10\n"), ErrVersion},
		{"version 999999999", withMagic("sqlitesync segment 999999999\n"), ErrVersion},
		{"newer version, nothing else", []byte("sqlitesync segment 2\n"), ErrVersion},
		{"header length 0", length(0), ErrDamaged},
		{"header length 187", length(187), ErrDamaged},
		{"header length 189", length(189), ErrDamaged},
		{"header length above the file", length(4096), ErrDamaged},
		{"header length above the limit", length(4097), ErrDamaged},
		{"header length of 4 GiB", length(math.MaxUint32), ErrDamaged},
		{"short header", withHeader(whole[1:]), ErrDamaged},
		{"long header", withHeader(append(bytes.Clone(whole), 0)), ErrDamaged},
		{"longest header", withHeader(make([]byte, 4096)), ErrDamaged},
		{"payload too short", good[:len(good)-1], ErrDamaged},
		{"payload too long", append(bytes.Clone(good), 0), ErrDamaged},
		{"no payload", rawFile(&segmentFile, empty, nil, device), ErrDamaged},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseSegment(test.file)
			wantError(t, err, test.want)
			wantOneOf(t, err)
		})
	}
}
