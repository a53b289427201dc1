package webhook

import "github.com/stele-dev/stele/api/v1alpha1"

// eventHeaders name the event. The payloads of the three are alike.
var eventHeaders = map[v1alpha1.WebhookProvider]string{
	v1alpha1.WebhookGitHub:  "X-Github-Event",
	v1alpha1.WebhookGitea:   "X-Gitea-Event",
	v1alpha1.WebhookForgejo: "X-Forgejo-Event",
}

// forgePush is what counts of a push, a creation or a deletion of GitHub, Gitea and Forgejo.
type forgePush struct {
	// Ref is full in a push, and short in the other two.
	Ref     string `json:"ref"`
	RefType string `json:"ref_type"`
	After   string `json:"after"`

	Repository struct {
		CloneURL string `json:"clone_url"`
		SSHURL   string `json:"ssh_url"`
		HTMLURL  string `json:"html_url"`
		GitURL   string `json:"git_url"`
		URL      string `json:"url"`
	} `json:"repository"`
}

func readForge(d Delivery) (Message, error) {
	event := d.Header.one(eventHeaders[d.Provider])
	switch event {
	case "ping":
		return Message{Kind: Ping}, nil
	case "push", "create", "delete":
	case "":
		return Message{}, malformedError("no header " + eventHeaders[d.Provider] + ", or more than one")
	default:
		return Message{Kind: Ignored}, nil
	}
	var p forgePush
	if err := decode(d, &p); err != nil {
		return Message{}, err
	}
	if event != "push" {
		switch p.RefType {
		case "branch":
			p.Ref = "refs/heads/" + p.Ref
		case "tag":
			p.Ref = "refs/tags/" + p.Ref
		default: // a new repository
			return Message{Kind: Ignored}, nil
		}
		p.After = ""
	}
	r := p.Repository
	return pushed([]string{r.CloneURL, r.SSHURL, r.HTMLURL, r.GitURL, r.URL}, []Change{{p.Ref, p.After}})
}
