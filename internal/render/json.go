package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseJSON reads a JSON file into the nodes that YAML gives, so that all further checks are the same. The YAML parser
// cannot be used: it does not know JSON's surrogate pairs.
func parseJSON(file string, data []byte) ([]*yaml.Node, *Problem) {
	p := jsonParser{data: data, line: 1, dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	fail := func(err error) ([]*yaml.Node, *Problem) {
		p.here()
		return nil, &Problem{Reason: ReasonInvalidYAML, File: file, Line: p.line, Message: err.Error()}
	}
	tok, err := p.dec.Token()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return fail(errNoJSON)
	}
	node, err := p.node(tok, 0)
	if err != nil {
		return fail(err)
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return fail(errors.New("something follows the JSON value"))
	}
	if node.Tag == "!!null" {
		return nil, nil
	}
	return []*yaml.Node{node}, nil
}

// errNoJSON replaces the parser's errors, which quote what they found.
var errNoJSON = errors.New("not valid JSON")

type jsonParser struct {
	data []byte
	dec  *json.Decoder
	line int
	seen int
}

// here moves the line to where the decoder stands.
func (p *jsonParser) here() int {
	at := int(p.dec.InputOffset())
	p.line += bytes.Count(p.data[p.seen:at], []byte("\n"))
	p.seen = at
	return p.line
}

func (p *jsonParser) node(tok json.Token, depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle, Line: p.here()}
	switch v := tok.(type) {
	case nil:
		n.Tag, n.Value = "!!null", "null"
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(v)
	case string:
		n.Tag, n.Value = "!!str", v
	case json.Number:
		n.Tag, n.Value = "!!int", v.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case json.Delim:
		return p.collection(n, v, depth)
	}
	return n, nil
}

func (p *jsonParser) collection(n *yaml.Node, open json.Delim, depth int) (*yaml.Node, error) {
	n.Kind, n.Tag, n.Style = yaml.SequenceNode, "!!seq", 0
	if open == '{' {
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
	}
	for p.dec.More() {
		tok, err := p.dec.Token()
		if err != nil {
			return nil, errNoJSON
		}
		child, err := p.node(tok, depth+1)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, child)
	}
	if _, err := p.dec.Token(); err != nil {
		return nil, errNoJSON
	}
	if n.Kind == yaml.MappingNode && len(n.Content)%2 != 0 {
		return nil, errNoJSON
	}
	return n, nil
}
