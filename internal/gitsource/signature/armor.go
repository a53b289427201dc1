package signature

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	beginPGP  = "-----BEGIN PGP SIGNATURE-----"
	endPGP    = "-----END PGP SIGNATURE-----"
	beginSSH  = "-----BEGIN SSH SIGNATURE-----"
	endSSH    = "-----END SSH SIGNATURE-----"
	beginX509 = "-----BEGIN SIGNED MESSAGE-----"
)

// armorHeaders may stand above an OpenPGP signature. They say nothing.
var armorHeaders = []string{"Version: ", "Comment: ", "Hash: ", "Charset: ", "MessageID: "}

// dearmor reads one block of text from its first to its last line, strictly: what is not of the block, an alphabet with gaps, bits left
// over and a wrong checksum are errors, so that a signature has few other forms.
func dearmor(text []byte, begin, end string) ([]byte, error) {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) < 3 || lines[0] != begin || lines[len(lines)-1] != end {
		return nil, fmt.Errorf("is not one block from %q to %q", begin, end)
	}
	lines = lines[1 : len(lines)-1]
	if begin != beginPGP {
		return decode(lines)
	}
	blank := slices.Index(lines, "")
	if blank < 0 {
		return nil, errors.New("has no empty line above its data")
	}
	for _, h := range lines[:blank] {
		if !slices.ContainsFunc(armorHeaders, func(known string) bool { return strings.HasPrefix(h, known) }) {
			return nil, errors.New("has a header that is not known")
		}
	}
	lines = lines[blank+1:]
	n := len(lines) - 1
	if n < 0 || len(lines[n]) != 5 || lines[n][0] != '=' {
		return decode(lines) // newer programs write no checksum
	}
	sum, err := base64.StdEncoding.Strict().DecodeString(lines[n][1:])
	if err != nil {
		return nil, errors.New("has a checksum that cannot be read")
	}
	data, err := decode(lines[:n])
	if err == nil && crc24(data) != [3]byte(sum) {
		return nil, errors.New("differs from its checksum")
	}
	return data, err
}

// decode reads lines of base64, all as long as the first one, but for the last.
func decode(lines []string) ([]byte, error) {
	for i, l := range lines {
		if last := i == len(lines)-1; l == "" || len(l) > 76 || len(l) > len(lines[0]) || !last && len(l) != len(lines[0]) {
			return nil, errors.New("has lines of different lengths, or of more than 76 characters")
		}
	}
	data, err := base64.StdEncoding.Strict().DecodeString(strings.Join(lines, ""))
	if err != nil || len(data) == 0 {
		return nil, errors.New("is not base64")
	}
	return data, nil
}

// crc24 is the checksum of RFC 4880, section 6.1.
func crc24(data []byte) [3]byte {
	crc := uint32(0xB704CE)
	for _, b := range data {
		crc ^= uint32(b) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864CFB
			}
		}
	}
	return [3]byte{byte(crc >> 16), byte(crc >> 8), byte(crc)}
}
