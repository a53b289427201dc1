package kubeconfig

import "testing"

func TestRender(t *testing.T) {
	got := string(Render(Config{
		Cluster: "dev", Server: "https://127.0.0.1:6443",
		CA: []byte("ca"), ClientCert: []byte("cert"), ClientKey: []byte("key"),
	}))
	const want = `apiVersion: v1
kind: Config
clusters:
- name: "dev"
  cluster:
    server: "https://127.0.0.1:6443"
    certificate-authority-data: Y2E=
users:
- name: "dev"
  user:
    client-certificate-data: Y2VydA==
    client-key-data: a2V5
contexts:
- name: "dev"
  context:
    cluster: "dev"
    user: "dev"
current-context: "dev"
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
