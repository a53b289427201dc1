package signature

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"golang.org/x/crypto/ssh"
)

// Bounds of a keyring.
const (
	maxEntries = 100
	maxEntry   = 256 << 10
	maxKeys    = 1000
)

// Keyring is what a Secret holds.
type Keyring struct {
	pgp     []*openpgp.Entity
	sshKeys []ssh.PublicKey
	digest  string
}

// ParseKeyring reads the entries of a Secret: *.asc holds armored OpenPGP keys, *.sshpub lines of authorized_keys. Every
// other entry is an error, and so is one key that cannot be read: a keyring that is half understood refuses commits for reasons that nobody finds.
// An error names the entry, and never what is in it.
func ParseKeyring(entries map[string][]byte) (k *Keyring, err error) {
	name := ""
	defer func() {
		if p := recover(); p != nil {
			k, err = nil, fmt.Errorf("entry %q cannot be read", name)
		}
	}()
	if len(entries) == 0 {
		return nil, errors.New("it is empty; add OpenPGP keys as *.asc or SSH keys as *.sshpub")
	}
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("it has %d entries; at most %d are read", len(entries), maxEntries)
	}
	k = &Keyring{}
	var sums []string
	for _, name = range slices.Sorted(maps.Keys(entries)) {
		data := entries[name]
		if len(data) > maxEntry {
			return nil, fmt.Errorf("entry %q has %d bytes; at most %d are read", name, len(data), maxEntry)
		}
		found, err := k.add(name, data)
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", name, err)
		}
		sums = append(sums, found...)
		if n := len(k.pgp) + len(k.sshKeys); n > maxKeys {
			return nil, fmt.Errorf("it has more than %d keys", maxKeys)
		}
	}
	slices.Sort(sums)
	k.digest = sumOf([]byte(strings.Join(slices.Compact(sums), "\n")))
	return k, nil
}

// Digest is over the keys with all that they say of themselves; names of entries, comments and order are not in it.
func (k *Keyring) Digest() string { return k.digest }

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// add reads one entry and returns digests of what it found.
func (k *Keyring) add(name string, data []byte) (sums []string, err error) {
	switch {
	case strings.HasSuffix(name, ".asc"):
		blocks, err := keyBlocks(data)
		if err != nil {
			return nil, err
		}
		for _, b := range blocks {
			if err := k.addBlock(b); err != nil {
				return nil, err
			}
			sums = append(sums, "pgp "+sumOf(b))
		}
		return sums, nil
	case strings.HasSuffix(name, ".sshpub"):
		keys, err := readSSHKeys(data)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			sums = append(sums, "ssh "+ssh.FingerprintSHA256(key))
		}
		k.sshKeys = append(k.sshKeys, keys...)
		return sums, nil
	}
	return nil, errors.New("its name ends in neither .asc (OpenPGP) nor .sshpub (SSH); rename or remove it")
}

func (k *Keyring) addBlock(data []byte) error {
	packets := packet.NewReader(bytes.NewReader(data))
	for n := 0; ; n++ {
		e, err := readEntity(packets)
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("it holds no key")
		case err != nil:
			return fmt.Errorf("it %w", err)
		}
		k.pgp = append(k.pgp, e)
	}
}

const (
	beginKey = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	endKey   = "-----END PGP PUBLIC KEY BLOCK-----"
)

// keyBlocks finds the armored keys of a file. What stands around them is a comment.
func keyBlocks(data []byte) (blocks [][]byte, err error) {
	var open []string
	for i, line := range strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n") {
		line = strings.TrimSpace(line)
		begins := strings.HasPrefix(line, "-----BEGIN ")
		switch {
		case begins && strings.Contains(line, "PRIVATE KEY"):
			return nil, fmt.Errorf("line %d: it %w", i+1, errPrivate)
		case begins && (line != beginKey || open != nil):
			return nil, fmt.Errorf("line %d: a block begins that is no armored public key", i+1)
		case begins:
			open = []string{line}
		case open == nil:
		case line == endKey:
			b, err := armor.Decode(strings.NewReader(strings.Join(append(open, line, ""), "\n")))
			if err != nil {
				return nil, fmt.Errorf("line %d: the block that ends here cannot be read", i+1)
			}
			content, err := io.ReadAll(b.Body)
			if err != nil {
				return nil, fmt.Errorf("line %d: the block that ends here cannot be read", i+1)
			}
			blocks, open = append(blocks, content), nil
		default:
			open = append(open, line)
		}
	}
	switch {
	case open != nil:
		return nil, errors.New("its last block has no end")
	case len(blocks) == 0:
		return nil, errors.New("it holds no armored public key; export it with gpg --armor --export")
	}
	return blocks, nil
}
