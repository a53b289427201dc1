package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document is one YAML document of a file, or the whole of a JSON file.
type document struct {
	line  int
	node  *yaml.Node // for the lines of what is inside
	value any        // map[string]any, []any, string, bool, int64, float64 or nil
}

// parseFile reads the documents of a file. It accepts what kubectl and kustomize understand in the same way, and
// refuses what they read differently or what no manifest needs: a release has to mean one thing. All that is wrong is
// collected; a file with problems yields no documents.
func parseFile(file string, data []byte) ([]document, []Problem) {
	data, bad := checkText(file, data)
	if bad != nil {
		return nil, []Problem{*bad}
	}
	var nodes []*yaml.Node
	if strings.HasSuffix(file, ".json") {
		nodes, bad = parseJSON(file, data)
	} else {
		nodes, bad = parseYAML(file, data)
	}
	c := converter{file: file}
	if bad != nil {
		c.add(*bad) // the documents before the broken one are still looked at
	}
	docs := make([]document, 0, len(nodes))
	for _, n := range nodes {
		docs = append(docs, document{line: n.Line, node: n, value: c.value(n, 0)})
	}
	if c.any() {
		return nil, c.list
	}
	return docs, nil
}

// checkText refuses bytes that no parser should see, and removes a UTF-8 byte order mark.
func checkText(file string, data []byte) ([]byte, *Problem) {
	invalid := func(message, fix string) *Problem {
		return &Problem{Reason: ReasonInvalidYAML, File: file, Message: message, Fix: fix}
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, invalid("the file is UTF-16", "save it as UTF-8")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if i := bytes.IndexByte(data, 0); i >= 0 {
		p := invalid("the file contains a NUL byte", "save it as UTF-8 text")
		p.Line = 1 + bytes.Count(data[:i], []byte("\n"))
		return nil, p
	}
	if !utf8.Valid(data) {
		return nil, invalid("the file is not UTF-8", "save it as UTF-8")
	}
	if n := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte(",")) + bytes.Count(data, []byte("[")) +
		bytes.Count(data, []byte("{")); n > maxSeparators {
		return nil, &Problem{Reason: ReasonLimitExceeded, File: file,
			Message: fmt.Sprintf("more than %d lines and elements", maxSeparators)}
	}
	return data, nil
}

// parseYAML reads the stream into nodes. Nodes keep aliases as they are: nothing is expanded here. It returns the
// documents before an error together with the error.
func parseYAML(file string, data []byte) (nodes []*yaml.Node, bad *Problem) {
	defer func() {
		// The parser must not be able to stop the operator, whatever it is given.
		if r := recover(); r != nil {
			nodes, bad = nil, &Problem{Reason: ReasonInvalidYAML, File: file, Message: "the file cannot be parsed"}
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for count := 0; ; count++ {
		var n yaml.Node
		err := dec.Decode(&n)
		switch {
		case errors.Is(err, io.EOF):
			return nodes, nil
		case err != nil:
			p := yamlProblem(file, data, err)
			p.Line = min(p.Line, 1+bytes.Count(data, []byte("\n"))) // the parser adds a line break of its own
			return nodes, p
		case count >= maxDocuments:
			return nil, &Problem{Reason: ReasonLimitExceeded, File: file,
				Message: fmt.Sprintf("more than %d documents in the file", maxDocuments)}
		}
		if n.Kind != yaml.DocumentNode || len(n.Content) != 1 {
			continue
		}
		if body := n.Content[0]; body.Kind != yaml.ScalarNode || body.Tag != "!!null" {
			nodes = append(nodes, body)
		}
	}
}

var (
	// yamlParserError matches the errors of the parser's second stage. It counts lines from 0, the first from 1.
	yamlParserError = regexp.MustCompile(`^did not find expected (?:<|node content|'-'|',' or|key)|^found (?:duplicate %|incompatible|undefined)`)
	yamlErrorLine   = regexp.MustCompile(`line (\d+): `)
	yamlErrorAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	yamlErrorQuoted = regexp.MustCompile("'[^']'|'[^']*'|\"[^\"]*\"|`[^`]*`")
)

// yamlProblem keeps the parser's own words and drops all that it quotes: an unquoted password that starts with an
// asterisk is an "unknown anchor" to the parser, and it says which.
func yamlProblem(file string, data []byte, err error) *Problem {
	p := &Problem{Reason: ReasonInvalidYAML, File: file, Line: 1}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlErrorLine.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		text = strings.Replace(text, m[0], "", 1)
		if yamlParserError.MatchString(text) {
			p.Line++
		}
	}
	if m := yamlErrorAnchor.FindStringSubmatch(text); m != nil {
		text = "refers to an anchor that is not defined before it"
		if i := bytes.Index(data, []byte("*"+m[1])); i >= 0 {
			p.Line = 1 + bytes.Count(data[:i], []byte("\n"))
		}
	}
	p.Message = yamlErrorQuoted.ReplaceAllStringFunc(text, func(quoted string) string {
		if len(quoted) == len("','") {
			return quoted // a character that was expected
		}
		return "…"
	})
	return p
}
