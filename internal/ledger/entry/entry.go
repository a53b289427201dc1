// Package entry is the schema of what the audit ledger holds: which kinds of entries there are, their canonical bytes and their keys. It
// is pure: it takes values and returns values.
package entry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
)

// Schema names the form of an entry. A field may be added under the same name, and readers keep what they do not know; a change of
// meaning gets a new name.
const Schema = "stele.dev/entry/v1"

// MaxSize of an entry in canonical bytes.
const MaxSize = 8 << 10

// Entry is one thing that was about to happen, or that has happened. It holds no personal data: no names of people, e-mails, addresses,
// messages, nor field managers that Stele does not know.
type Entry struct {
	// Schema is always Schema.
	Schema string `json:"schema"`
	// Key is what makes an entry one of its kind: it is in the log once, however often it was written. See Key.
	Key string `json:"key"`
	// Kind says what happened.
	Kind Kind `json:"kind"`
	// Time in RFC 3339, UTC, with microseconds: what the clock of the operator said. The order of entries is their index in the log, not this.
	Time string `json:"time"`
	// Object that it happened to, with the UID that tells it from another one of its name.
	Object Object `json:"object"`
	// Track of the object, if it has one, in its namespace.
	Track string `json:"track,omitempty"`
	// Release that it is about, if there is one.
	Release *Release `json:"release,omitempty"`
	// Previous is the release that serves, or served, until then.
	Previous *Release `json:"previous,omitempty"`
	// Reason in CamelCase, as in conditions: why.
	Reason string `json:"reason,omitempty"`
	// Details are what else is to be known, by name: paths, digests, sizes, counts. At most 32, each at most 256 characters; see docs/spec/auditledger.md for those
	// of each kind.
	Details map[string]string `json:"details,omitempty"`
	// Actor is the commitment to who asked for it, and to what they wrote: "hmac-sha256:" and 64 hex, over a Secret of the operator's namespace that can be
	// erased (ActorName). Absent where the operator acted by itself.
	Actor string `json:"actor,omitempty"`
}

// Object names an object of the cluster.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
}

// Release is what an entry says of an ImmutableRelease.
type Release struct {
	Name     string `json:"name"`
	UID      string `json:"uid,omitempty"`
	Sequence int64  `json:"sequence,omitempty"`
	Run      int64  `json:"run,omitempty"`
	Commit   string `json:"commit,omitempty"`
	// Digest of the rendered objects, ContentDigest of the files (spec.digest, spec.source.contentDigest).
	Digest        string `json:"digest,omitempty"`
	ContentDigest string `json:"contentDigest,omitempty"`
	// KeyFingerprint of who signed the commit, if it was checked; Verification is the mode of the check.
	KeyFingerprint string `json:"keyFingerprint,omitempty"`
	Verification   string `json:"verification,omitempty"`
}

// Key of a step of a run of an object. The same step of the same run gives the same key, in every process.
func Key(uid string, run int64, step string) string {
	return uid + "/" + strconv.FormatInt(run, 10) + "/" + step
}

// ID is the short form of a key, for names of objects: 32 hex.
func ID(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// OutboxName is the name of the ConfigMap that an entry waits in.
func OutboxName(key string) string { return "outbox-" + ID(key) }

// ActorPrefix is what the name of a Secret that says who acted begins with; the ID of the entry's key follows.
const ActorPrefix = "actor-"

// ActorName is the name of the Secret that says who acted.
func ActorName(key string) string { return ActorPrefix + ID(key) }

// String names an entry to people.
func (e Entry) String() string {
	name := e.Object.Name
	if e.Object.Namespace != "" {
		name = e.Object.Namespace + "/" + name
	}
	return fmt.Sprintf("%s of %s %s", e.Kind, e.Object.Kind, name)
}
