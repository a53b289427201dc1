package anchor

import (
	_ "embed"
	"strings"
)

// The files of each commit.
const (
	checkpointFile = "checkpoint"
	keyFile        = "key.pub"
	signersFile    = "allowed_signers"
	readmeFile     = "README.md"
)

//go:embed readme.md
var readme string

type file struct {
	name    string
	content []byte
}

// files of a commit: the checkpoint, and what it takes to check it. The keys beside it are for convenience: who checks compares them with
// those that they got elsewhere.
func (g *Git) files(checkpoint []byte) []file {
	return []file{
		{checkpointFile, checkpoint},
		{keyFile, []byte(strings.Join(g.logKeys, "\n") + "\n")},
		{signersFile, []byte(roleMail + ` namespaces="` + namespace + `" ` + g.PublicKey() + "\n")},
		{readmeFile, []byte(strings.NewReplacer("ORIGIN", g.origin, "BRANCH", strings.TrimPrefix(g.ref, "refs/heads/")).Replace(readme))},
	}
}
