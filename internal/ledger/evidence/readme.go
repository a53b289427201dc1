package evidence

// readme is in every export. It is the same in all of them, so that a log gives the same bytes whoever exports it.
const readme = `# Evidence of a Stele ledger

This file is a copy of the tamper-evident log of a Stele installation, complete up to its checkpoint. The log says what ran in a cluster and when, from which
commit, who had signed it (as the fingerprint of a key), and what was done by hand. It holds no names of people.

## What is in it

| File | What it is |
|---|---|
| checkpoint | origin of the log, number of entries, root of the Merkle tree (base64), and an Ed25519 signature over these three lines (C2SP signed note) |
| checkpoints/N | checkpoints that were signed when the log had N entries; the log must lead on each of them |
| keys/*.vkey | public keys, as name+hash+key. They came with this file: compare them with a copy that you got in another way |
| tile/entries/NNN | the entries, 256 to a file, each behind its length (two bytes, big-endian). Below 256 the path ends in .p/W |
| tile/L/NNN | the hashes of the tree (C2SP tlog-tiles), 256 to a file |
| entries.jsonl | the same entries to read: one JSON object in a line; the first line is entry 0 |
| proofs/N.tlog-proof | proof that entry N is in the log, for itself (C2SP tlog-proof; the line "extra" is the entry in base64) |
| SHA256SUMS | the SHA-256 of each file, to find damage. It proves nothing: whoever changes a file can change the list |

Fields of an entry: schema; key (an entry is in the log once); kind (what happened; ...Intended: was about to happen); time (clock of the operator; the order is the
line, not the time); object, track, release and previous (what it is about: name, UID, sequence, run, commit, digest of the objects, contentDigest of the files,
keyFingerprint of the signer, mode of verification); reason; details; actor (commitment to who asked: HMAC-SHA256 with a key that is kept apart and can be erased).

## How to check it

With Stele: kubectl stele audit verify FILE --key KEY [--checkpoint EARLIER]. No cluster and no network are needed.

Without Stele, on this folder when it is unpacked:

1. Damage: sha256sum -c SHA256SUMS
2. Signature: the message is the first three lines of checkpoint, each with its line end. In the line that begins with a dash the last word is base64 of 4 bytes
   (the hash of the key) and 64 bytes (Ed25519). In the vkey the last part is base64 of one byte (1: Ed25519) and the 32 bytes of the public key.
3. Tree: RFC 6962. A leaf is SHA-256 of a byte 0 and the entry, a node is SHA-256 of a byte 1 and the two hashes below it. Computed over all lines of entries.jsonl,
   each without its line end, the root is the third line of checkpoint.

Any program for C2SP tlog-tiles checks the same, for example fsck of github.com/transparency-dev/tessera.

## What it does not prove

Whoever holds the signing key can sign another log. Compare checkpoint with one that was kept elsewhere: in the anchor repository of the log, by a witness, or in an
export of before.
`
