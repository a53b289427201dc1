package wire

import (
	"context"
	"io"
	"net/url"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"github.com/stele-dev/stele/internal/outbound"
)

// Ref is one line of a listing.
type Ref struct {
	Name string
	ID   plumbing.Hash
	// Peeled is the commit that an annotated tag stands for; zero for everything else.
	Peeled plumbing.Hash
}

// Commit is what the ref leads to.
func (r Ref) Commit() plumbing.Hash {
	if r.Peeled.IsZero() {
		return r.ID
	}
	return r.Peeled
}

// Pick adds a ref of a listing to those that are kept, or leaves it out. A server chooses how many refs it has and how long their names
// are, and many listings are read at the same time: what nobody asks for is not held in memory.
type Pick func(kept []Ref, r Ref) []Ref

// All keeps every ref.
func All(kept []Ref, r Ref) []Ref { return append(kept, r) }

// Request says what a fetch is to bring.
type Request struct {
	// Wants are ids. A version 0 server may refuse those that no ref has; then Choose is asked.
	Wants []plumbing.Hash
	// Choose picks ids to ask for among what the server lists, when Wants cannot be asked for.
	Choose func([]Ref) []plumbing.Hash
	// Pick keeps those that Choose needs, and those of Wants. Nil keeps all.
	Pick Pick
	// Haves are commits whose history is there already.
	Haves []plumbing.Hash
	// MaxBlob asks the server to leave out larger blobs, if it can. 0 asks for everything.
	MaxBlob int64
	// Depth asks for so many commits of the history, counted from Wants, if the server can. 0 asks for all of it.
	Depth int
}

func (r Request) pick() Pick {
	if r.Pick == nil {
		return All
	}
	return r.Pick
}

// Client talks to one repository. It is safe for concurrent use.
type Client interface {
	// List returns what pick keeps of the refs whose names begin with one of the prefixes, perhaps more; of all refs without prefixes.
	List(ctx context.Context, prefixes []string, pick Pick) ([]Ref, error)
	// Fetch returns the pack. Errors of reading it are those of this package.
	Fetch(ctx context.Context, req Request) (*Pack, error)
}

// Pack is the stream of a pack. The caller closes it.
type Pack struct {
	io.ReadCloser
	// Filtered says that the server was asked to leave out large blobs, and can.
	Filtered bool
	// Shallow says that the server was asked for a part of the history, and can.
	Shallow bool
}

// Remote is a Client that can also write.
type Remote interface {
	Client
	// Push moves one ref. The server is told where it is now, and moves it only if it is there still: of two who push at once, one wins.
	// prepare gets what the server says the ref leads to (zero: it is not there), and its error ends the push; it is called at most once.
	// What the server does not take is fault.PushRefused. After another error it is not known whether the ref was moved.
	Push(ctx context.Context, ref string, prepare func(tip plumbing.Hash) (Update, error)) error
}

// Update is what a push brings: the new commit, and a pack with those of its objects that the server lacks.
type Update struct {
	Commit plumbing.Hash
	Pack   []byte
}

// Config is where a repository is and how to get in.
type Config struct {
	URL *url.URL
	// Username and Password, or Token, for HTTP.
	Username, Password, Token string
	// CA is trusted in addition to the system's; Cert and Key identify the client. PEM.
	CA, Cert, Key []byte
	// Signer and HostKey are for SSH; Username then is the login name.
	Signer            ssh.Signer
	HostKey           ssh.HostKeyCallback
	HostKeyAlgorithms []string
	// Proxy: http, https or socks5. Nil takes the proxy of the environment, for HTTP only.
	Proxy *url.URL
	// Dialer connects, and knows which addresses are refused and which proxy the environment has.
	Dialer *outbound.Dialer
}

// secrets are the values that never may be in a message.
func (c *Config) secrets() []string {
	var list []string
	add := func(user, password string) {
		if password != "" {
			list = append(list, user+":"+password, password)
		}
		if user != "git" { // a word of every message; any other may be the name of a person
			list = append(list, user)
		}
	}
	add("git", c.Token)
	add(c.Username, c.Password)
	if p, _ := c.via(); p != nil && p.User != nil {
		password, _ := p.User.Password()
		add(p.User.Username(), password)
	}
	return list
}

// Limits of a listing.
const (
	maxRefs      = 50_000
	maxListBytes = 16 << 20
	maxRefName   = 1024
)
