package writer

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/ledger/log"
)

// seenBefore are the trees that a status tells of. The log has to lead from each of them. It is pure.
func seenBefore(s v1alpha1.AuditLedgerStatus) ([]log.Tree, error) {
	var out []log.Tree
	add := func(size int64, root, where string) error {
		if size <= 0 {
			return nil
		}
		hash, err := tlog.ParseHash(root)
		if err != nil {
			return &log.ShorterError{What: fmt.Sprintf("the AuditLedger says in %s that the log had %d entries, and no root hash that can be compared", where, size)}
		}
		out = append(out, log.Tree{Size: uint64(size), Root: hash}) //nolint:gosec // it is not negative
		return nil
	}
	if err := add(s.Size, s.RootHash, "status.rootHash"); err != nil {
		return nil, err
	}
	if a := s.Anchor; a != nil {
		if err := add(a.Size, a.RootHash, "status.anchor.rootHash"); err != nil {
			return nil, err
		}
	}
	return out, nil
}
