package packs

// Space counts what is on disk, so that all repositories together stay within a bound. Whoever writes asks before.
type Space interface {
	// Take counts bytes that are about to be written. An error says why they must not be, and has a kind.
	Take(n int64) error
	// Spare is Take for what can wait: it makes no room at the cost of others.
	Spare(n int64) error
	// Give counts bytes that are not on disk any more, or were not written after all.
	Give(n int64)
}

// Unbounded counts nothing.
type Unbounded struct{}

// Take allows everything.
func (Unbounded) Take(int64) error { return nil }

// Spare allows everything.
func (Unbounded) Spare(int64) error { return nil }

// Give does nothing.
func (Unbounded) Give(int64) {}

// block is what file systems hand out space in.
const block = 4096

// Blocks is what a file of n bytes takes on disk.
func Blocks(n int64) int64 { return (n + block - 1) / block * block }
