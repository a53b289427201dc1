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
	var signers strings.Builder
	for _, key := range g.signers {
		signers.WriteString(roleMail + ` namespaces="` + namespace + `" ` + key + "\n")
	}
	return []file{
		{checkpointFile, checkpoint},
		{keyFile, []byte(strings.Join(g.logKeys, "\n") + "\n")},
		{signersFile, []byte(signers.String())},
		{readmeFile, []byte(strings.NewReplacer("ORIGIN", g.origin, "BRANCH", g.plainBranch()).Replace(readme))},
	}
}

// plainBranch is the branch in commands that people will copy: Git takes names that a shell would run.
func (g *Git) plainBranch() string {
	branch := strings.TrimPrefix(g.ref, "refs/heads/")
	if strings.Trim(branch, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-") != "" {
		return "BRANCH"
	}
	return branch
}
