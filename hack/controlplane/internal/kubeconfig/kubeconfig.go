// Package kubeconfig writes the client configuration of one user of a cluster.
package kubeconfig

import (
	"encoding/base64"
	"fmt"
	"strconv"
)

// Config is everything that a client needs. Certificates are PEM encoded and written into the file, so that it can be
// copied or mounted elsewhere.
type Config struct {
	// Cluster names the cluster, the user and the context: visible in "kubectl config get-contexts".
	Cluster string
	// Server is the absolute address, such as "https://127.0.0.1:6443".
	Server                    string
	CA, ClientCert, ClientKey []byte
}

const layout = `apiVersion: v1
kind: Config
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: %[1]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
contexts:
- name: %[1]s
  context:
    cluster: %[1]s
    user: %[1]s
current-context: %[1]s
`

// Render returns the file.
func Render(c Config) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, layout,
		strconv.Quote(c.Cluster), strconv.Quote(c.Server), b64(c.CA), b64(c.ClientCert), b64(c.ClientKey))
}
