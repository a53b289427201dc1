package evidence

import (
	"encoding/binary"
	"errors"

	"github.com/transparency-dev/tessera/api/layout"
)

var (
	errBundleCut  = errors.New("the file ends within an entry")
	errBundleLong = errors.New("something follows the 256 entries")
)

// splitBundle gives the entries of a bundle: each behind its length of two bytes. What is readable is given with the error too, so that it can be told how far.
func splitBundle(raw []byte) ([][]byte, error) {
	list := make([][]byte, 0, layout.EntryBundleWidth)
	for len(raw) > 0 {
		if len(list) == layout.EntryBundleWidth {
			return list, errBundleLong
		}
		if len(raw) < 2 {
			return list, errBundleCut
		}
		n := int(binary.BigEndian.Uint16(raw))
		if len(raw)-2 < n {
			return list, errBundleCut
		}
		list, raw = append(list, raw[2:2+n:2+n]), raw[2+n:]
	}
	return list, nil
}
