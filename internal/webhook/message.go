package webhook

import (
	"encoding/json"
	"errors"
	"mime"
	"net/url"
	"strings"

	"github.com/stele-dev/stele/api/v1alpha1"
)

// Delivery is a request as it came.
type Delivery struct {
	Provider v1alpha1.WebhookProvider
	Header   Headers
	// Body is what was sent, byte for byte.
	Body []byte
}

// Kind of message.
type Kind int

const (
	// Ignored is an event that moves no ref.
	Ignored Kind = iota
	// Ping is what a server sends to try the address.
	Ping
	// Pushed says that refs have moved.
	Pushed
)

// Message is what an authenticated delivery says.
type Message struct {
	Kind Kind
	// Push of kind Pushed.
	Push Push
}

// Push says which refs of which repository have moved.
type Push struct {
	// Repositories are the addresses of the one repository, in the form of Repository. None: any repository may be meant.
	Repositories []string
	// Changes are the refs that have moved. None: any may have.
	Changes []Change
}

// Change is a ref that has moved.
type Change struct {
	// Ref is the full name.
	Ref string
	// After is where it points now: 40 hex digits; empty when that is not told, or the ref is gone. For an annotated tag it may be the id of the tag object.
	After string
}

var (
	// ErrContentType is an authenticated body of a form that is not read.
	ErrContentType = errors.New("the content type must be application/json")
	// ErrMalformed is an authenticated body that is not what its event has.
	ErrMalformed = errors.New("malformed")
)

// malformedError says what is wrong, and nothing of what was sent.
type malformedError string

func (e malformedError) Error() string        { return string(e) }
func (e malformedError) Is(target error) bool { return target == ErrMalformed }

// Authentic is a delivery whose sender knows the token. Authenticate makes it, and nothing else.
type Authentic struct{ delivery Delivery }

// Authenticate checks who has sent a delivery, without reading it.
func Authenticate(d Delivery, token []byte) (Authentic, error) {
	if err := authenticate(d, token); err != nil {
		return Authentic{}, err
	}
	return Authentic{d}, nil
}

// Read says what a delivery means.
func (a Authentic) Read() (Message, error) {
	switch a.delivery.Provider {
	case v1alpha1.WebhookGitLab:
		return readGitLab(a.delivery)
	case v1alpha1.WebhookGeneric:
		return readGeneric(a.delivery)
	case v1alpha1.WebhookGitHub, v1alpha1.WebhookGitea, v1alpha1.WebhookForgejo:
		return readForge(a.delivery)
	}
	return Message{}, ErrUnauthenticated
}

// Repeatable reports whether the same message, sent again, can mean something new: one that does not say where each ref points now.
func (p Push) Repeatable() bool {
	for _, c := range p.Changes {
		if c.After == "" {
			return true
		}
	}
	return len(p.Changes) == 0
}

// decode reads the JSON of a body into a struct with the few fields that count.
func decode(d Delivery, into any) error {
	kind, _, err := mime.ParseMediaType(d.Header.one("Content-Type"))
	if err != nil {
		return ErrContentType
	}
	body := d.Body
	switch {
	case kind == "application/json":
	case kind == "application/x-www-form-urlencoded" && d.Provider == v1alpha1.WebhookGitHub:
		// Others sign what is in the form and not the form, which would have to be read before it is authenticated.
		form, err := url.ParseQuery(string(body))
		if err != nil || len(form["payload"]) != 1 {
			return malformedError("the form has no field payload")
		}
		body = []byte(form.Get("payload"))
	default:
		return ErrContentType
	}
	// Nothing of the error: it may quote the body.
	if json.Unmarshal(body, into) != nil {
		return malformedError("the body is not the JSON that this event has")
	}
	return nil
}

// pushed makes the message of a push of a repository.
func pushed(addresses []string, changes []Change) (Message, error) {
	repositories := known(addresses)
	if len(repositories) == 0 {
		return Message{}, malformedError("the body names no repository")
	}
	if err := check(changes); err != nil {
		return Message{}, err
	}
	return Message{Kind: Pushed, Push: Push{Repositories: repositories, Changes: changes}}, nil
}

// check refuses changes of no ref, and clears ids that are none.
func check(changes []Change) error {
	for i, c := range changes {
		if !strings.HasPrefix(c.Ref, "refs/") || len(c.Ref) > maxRef {
			return malformedError("the body names no ref, such as refs/heads/main")
		}
		changes[i].After = commit(c.After)
	}
	return nil
}

// maxRef is more than a server takes.
const maxRef = 1024

// commit is an id of 40 hex digits, or nothing; zeros stand for a ref that is gone.
func commit(id string) string {
	if len(id) != 40 || strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}
