package webhook

// genericPush is what a script may say. It may say nothing: then all tracks that name the Secret are meant.
type genericPush struct {
	// Repository is its address.
	Repository string `json:"repository"`
	// Ref is a full name.
	Ref   string `json:"ref"`
	After string `json:"after"`
}

func readGeneric(d Delivery) (Message, error) {
	if len(d.Body) == 0 {
		return Message{Kind: Pushed}, nil
	}
	var p genericPush
	if err := decode(d, &p); err != nil {
		return Message{}, err
	}
	var changes []Change
	if p.Ref != "" {
		changes = []Change{{p.Ref, p.After}}
	}
	if p.Repository != "" {
		return pushed([]string{p.Repository}, changes)
	}
	if err := check(changes); err != nil {
		return Message{}, err
	}
	return Message{Kind: Pushed, Push: Push{Changes: changes}}, nil
}
