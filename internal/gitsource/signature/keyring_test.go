package signature_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"github.com/stele-dev/stele/internal/gitsource/signature"
	"github.com/stele-dev/stele/test/testkit/signing"
)

// A keyring is read as a whole or not at all, and what is wrong is told by place.
func TestKeyring(t *testing.T) {
	pgp, ssh := newPGP(0), newSSH()
	asc, line := string(pgp.Public()), string(ssh.Public())
	var privateKey bytes.Buffer
	w := must(armor.Encode(&privateKey, "PGP PRIVATE KEY BLOCK", nil))
	if err := pgp.Entity.SerializePrivate(w, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	disguised := strings.ReplaceAll(privateKey.String(), "PRIVATE", "PUBLIC")
	small := must(signing.SSHOf(must(rsa.GenerateKey(rand.Reader, 1024)), "canary"))
	lines := func(n int) string { return strings.Repeat("# canary\n", n) }
	many := map[string][]byte{}
	for i := range 101 {
		many[fmt.Sprintf("%d.sshpub", i)] = []byte(line)
	}
	one := func(name, content string) map[string][]byte { return map[string][]byte{name: []byte(content)} }
	for name, tc := range map[string]struct {
		entries map[string][]byte
		want    string // part of the message; empty: taken
	}{
		"OpenPGP":              {one("a.asc", asc), ""},
		"two in a file":        {one("a.asc", asc+string(newPGP(0).Public())), ""},
		"with text around":     {one("a.asc", "Key of canary:\n"+asc+"\nthat was all\n"), ""},
		"ends of lines of DOS": {one("a.asc", strings.ReplaceAll(asc, "\n", "\r\n")), ""},
		"SSH":                  {one("a.sshpub", line), ""},
		"comments, blanks":     {one("a.sshpub", "\n# canary\n\n  "+line+"\t\n"+string(newSSH().Public())), ""},
		"no comment":           {one("a.sshpub", strings.Join(strings.Fields(line)[:2], " ")), ""},
		"both":                 {signing.Secret(pgp, ssh), ""},

		"nothing":               {nil, "empty"},
		"other entry":           {one("known_hosts", line), `entry "known_hosts": its name ends in neither`},
		"other entry besides":   {map[string][]byte{"a.sshpub": []byte(line), "author": nil}, `entry "author"`},
		"capital letters":       {one("a.ASC", asc), "its name ends"},
		"empty asc":             {one("a.asc", ""), "no armored public key"},
		"binary":                {one("a.asc", "\x99\x01\x0d\x04"), "no armored public key"},
		"SSH in asc":            {one("a.asc", line), "no armored public key"},
		"no end":                {one("a.asc", strings.Split(asc, "-----END")[0]), "no end"},
		"in another":            {one("a.asc", strings.Split(asc, "-----END")[0]+asc), "a block begins"},
		"broken":                {one("a.asc", asc[:100]+"!"+asc[101:]), "line"},
		"cut":                   {one("a.asc", asc[:120]+"\n-----END PGP PUBLIC KEY BLOCK-----\n"), "cannot be read"},
		"private":               {one("a.asc", privateKey.String()), "line 1: it holds a private key"},
		"private besides":       {one("a.asc", asc+privateKey.String()), "private key"},
		"private in disguise":   {one("a.asc", disguised), "private key"},
		"signature":             {one("a.asc", string(must(pgp.Sign(nil)))), "line 1: a block begins"},
		"empty block":           {one("a.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n"), "no key"},
		"no name":               {one("a.asc", nameless(t, pgp)), "cannot be read"},
		"empty sshpub":          {one("a.sshpub", "# canary\n"), "no key"},
		"OpenPGP in sshpub":     {one("a.sshpub", asc), "line 1: it is not a line of authorized_keys"},
		"malformed line":        {one("a.sshpub", lines(3)+"ssh-ed25519 canary\n"+line), "line 4: it is not a line"},
		"private SSH key":       {one("a.sshpub", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"), "line 1: holds a private key"},
		"options":               {one("a.sshpub", `command="canary" `+line), "begins with something else"},
		"certificate authority": {one("a.sshpub", "cert-authority "+line), "begins with something else"},
		"allowed signers":       {one("a.sshpub", "canary@example.invalid "+line), "begins with something else"},
		"small RSA":             {one("a.sshpub", string(small.Public())), "below 2048 bits"},
		"DSA":                   {one("a.sshpub", dsa), "ssh-dss are not taken"},
		"certificate":           {one("a.sshpub", certificate), "-cert-v01@openssh.com are not taken"},
		"large":                 {one("a.sshpub", lines(40000)), "bytes; at most"},
		"many":                  {many, "101 entries; at most 100"},
		"many keys":             {one("a.sshpub", strings.Repeat(strings.Join(strings.Fields(line)[:2], " ")+"\n", 1001)), "more than 1000 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := signature.ParseKeyring(tc.entries)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || k != nil):
				t.Errorf("taken: %v", k)
			case tc.want != "" && !strings.Contains(err.Error(), tc.want):
				t.Errorf("got %q, want %q in it", err, tc.want)
			case tc.want != "" && (len(err.Error()) > 300 || strings.Contains(err.Error(), private)):
				t.Errorf("the message is long, or says what is in the entry: %q", err)
			}
		})
	}
}

// nameless is a key without what it says of itself.
func nameless(t *testing.T, p *signing.PGP) string {
	t.Helper()
	var out bytes.Buffer
	w := must(armor.Encode(&out, "PGP PUBLIC KEY BLOCK", nil))
	if err := p.Entity.PrimaryKey.Serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// The digest tells keyrings apart by their keys, and by nothing else.
func TestDigestOfKeyring(t *testing.T) {
	pgp, ssh := newPGP(0), newSSH()
	digest := func(entries map[string][]byte) string { return parse(t, entries).Digest() }
	all := signing.Secret(pgp, ssh)
	same := map[string][]byte{"all.asc": append([]byte("text\n"), pgp.Public()...), "b.sshpub": []byte("# x\n" + strings.Join(strings.Fields(string(ssh.Public()))[:2], " "))}
	if a, b := digest(all), digest(same); a != b || len(a) != 64 {
		t.Errorf("the same keys otherwise written: %s and %s", a, b)
	}
	twice := maps.Clone(all)
	twice["again.sshpub"] = ssh.Public()
	if digest(twice) != digest(all) {
		t.Error("a key that is there twice counts twice")
	}
	seen := map[string]string{digest(all): "all"}
	for name, entries := range map[string]map[string][]byte{
		"OpenPGP": signing.Secret(pgp), "SSH": signing.Secret(ssh), "another": signing.Secret(newSSH()),
		"before": {"a.asc": file(t, "pgp-before-revocation.asc")}, "revoked": {"a.asc": file(t, "pgp-revoked.asc")},
		"expires": {"a.asc": file(t, "pgp-expires.asc")}, "prolonged": {"a.asc": file(t, "pgp-prolonged.asc")},
	} {
		d := digest(entries)
		if other, found := seen[d]; found {
			t.Errorf("%s and %s have the same digest", name, other)
		}
		seen[d] = name
	}
}

// Made by ssh-keygen.
const (
	dsa         = "ssh-dss AAAAB3NzaC1kc3MAAACBAP0AMTH8oYjuAzYqTFcDNDgZrdzXv1OQynUhcWPMue/WSrL0VD6lLCwtTqI2csn/0AUKdYAkHjhnK93sZhrV55rStZ2iprQTgvpdEVVCfgrKB8Wss6sn/+BAQ1oj/VmYr/XcMuVCbLoRViKTAXJKjsqPDMn4iQnM1vQV+SKNUFBDAAAAFQCEkoG1m5kG/rWFJdg8Zqh+VXslLwAAAIARQ8/OADAx3atv5FRk1pHyg+rWOsCvrs388pcge4I07fPvucg7eRdpteS91Fvzz90c0NYzMv4UKhNP2MBIP9OZw7LuL5g4MN1gXZDu8q/6JMiFdNXp1cy8S4Gq+0go9IUIZr7vPfxXCdeENvxgVwJ1GiQ04L/qHbjjtsNYWz5bwQAAAIAMK8X9XQL9zDm20yDbHWiFXCPIJkqIyn5T3JwKcRg/c+IGGMWDdxe/Cr/Ri7CFL3UpwXSDLfzTJp6CYc95zR/ONvR2qwIDwz49w5kkwClpK6NuPUrw3q/rFQ86ekC9sgjFEuDsQmGbut2MNbG/PWBLgFXKRoNZwpMmZAFoY7JWPQ== canary"
	certificate = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAINCD0t3IcvfkBGSQOgjdK/IzJ4Gw/f/f9nuYEj9qSvGhAAAAIHmfD8u6B2vk9dfGNL20v1+nDH+hbSM1qAS7IOD1/nAJAAAAAAAAAAAAAAABAAAABmNhbmFyeQAAAAAAAAAAAAAAAP//////////AAAAAAAAAIIAAAAVcGVybWl0LVgxMS1mb3J3YXJkaW5nAAAAAAAAABdwZXJtaXQtYWdlbnQtZm9yd2FyZGluZwAAAAAAAAAWcGVybWl0LXBvcnQtZm9yd2FyZGluZwAAAAAAAAAKcGVybWl0LXB0eQAAAAAAAAAOcGVybWl0LXVzZXItcmMAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkAAAAguUF/ZHTDTTHxc3QNZdnnXgWILR0N6+H7XQKBkhYWaQcAAABTAAAAC3NzaC1lZDI1NTE5AAAAQAPo/UrEEh9XrsdKmJNNxQnh8gk9m6oWnnZlMaIQUTEZojk2nUtPbM5CQlo/QWi5Ev7kvTDsI0m1SKnYQw+tlwA= canary"
)
