package webhook

// gitLabPush is what counts of a push of GitLab, of a project or of the whole server.
type gitLabPush struct {
	EventName string `json:"event_name"`
	Ref       string `json:"ref"`
	After     string `json:"after"`

	// Changes are of the event repository_update.
	Changes []struct {
		Ref   string `json:"ref"`
		After string `json:"after"`
	} `json:"changes"`

	Project    gitLabProject `json:"project"`
	Repository gitLabProject `json:"repository"`
}

type gitLabProject struct {
	GitHTTPURL string `json:"git_http_url"`
	GitSSHURL  string `json:"git_ssh_url"`
	WebURL     string `json:"web_url"`
	HTTPURL    string `json:"http_url"`
	SSHURL     string `json:"ssh_url"`
	Homepage   string `json:"homepage"`
	URL        string `json:"url"`
}

func (p gitLabProject) addresses() []string {
	return []string{p.GitHTTPURL, p.GitSSHURL, p.WebURL, p.HTTPURL, p.SSHURL, p.Homepage, p.URL}
}

func readGitLab(d Delivery) (Message, error) {
	system := false
	switch d.Header.one("X-Gitlab-Event") {
	case "Push Hook", "Tag Push Hook":
	case "System Hook":
		system = true
	case "":
		return Message{}, malformedError("no header X-Gitlab-Event, or more than one")
	default:
		return Message{Kind: Ignored}, nil
	}
	var p gitLabPush
	if err := decode(d, &p); err != nil {
		return Message{}, err
	}
	changes := []Change{{p.Ref, p.After}}
	if system {
		switch p.EventName {
		case "push", "tag_push":
		case "repository_update":
			changes = nil
			for _, c := range p.Changes {
				changes = append(changes, Change{c.Ref, c.After})
			}
		default:
			return Message{Kind: Ignored}, nil
		}
	}
	return pushed(append(p.Project.addresses(), p.Repository.addresses()...), changes)
}
