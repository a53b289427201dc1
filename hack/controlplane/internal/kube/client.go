// Package kube is the small client that brings a cluster up: it asks whether the API server is ready, reads objects
// and creates them. It needs nothing but the standard library, because the module of the tools pins a Kubernetes of its own.
package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ErrExists means that an object of that name is there already.
var ErrExists = errors.New("already exists")

// Client talks to one API server.
type Client struct {
	server string
	http   *http.Client
}

// New makes a client that shows the given certificate and trusts only the given authority (all PEM encoded).
func New(server string, ca, cert, key []byte) (*Client, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("certificate authority: no certificate in it")
	}
	const timeout = 10 * time.Second
	return &Client{server: server, http: &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			// No proxy: the server is on the loopback interface.
			TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
	}}, nil
}

// Get reads path into out; a nil out only asks whether the answer is a success.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.do(ctx, http.MethodGet, path, nil, out)
}

// Create posts an object to the collection at path. It returns ErrExists for one that is there already.
func (c *Client) Create(ctx context.Context, path string, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, path, body, nil)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	switch {
	case resp.StatusCode == http.StatusConflict && method == http.MethodPost:
		return ErrExists
	case resp.StatusCode >= http.StatusMultipleChoices:
		const limit = 300
		return fmt.Errorf("%s %s: %s: %.*s", method, path, resp.Status, limit, answer)
	case out == nil:
		return nil
	}
	return json.Unmarshal(answer, out)
}
