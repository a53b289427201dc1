package dryrun

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: b}\n"
	pod    = `automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: web
        image: shop.example/web:1.0.0
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
        resources: {requests: {cpu: 10m}, limits: {memory: 64Mi}}
`
	careless = "containers: [{name: web, image: shop.example/web}]\n"
)

func deployment(podSpec string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n" +
		"    metadata: {labels: {app: web}}\n    spec:\n      " + podSpec
}

// clean is a folder of every class that passes all gates.
var clean = map[string]string{
	"deploy/kustomization.yaml": "resources: [../base, more.yaml]\n",
	"base/kustomization.yaml":   "resources: [web.yaml]\n",
	"base/web.yaml":             config + "---\n" + deployment(pod),
	"deploy/more.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n---\n" +
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n" +
		"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n---\n" +
		strings.NewReplacer("kind: Deployment", "kind: StatefulSet", "name: web}", "name: db}", "app: web", "app: db", ":1.0.0", "@sha256:"+strings.Repeat("a", 64)).Replace(deployment(pod)),
}

// with returns files changed by others; an empty one is taken away.
func with(files map[string]string, more ...string) map[string]string {
	out := map[string]string{}
	for name, text := range files {
		out[name] = text
	}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// repository writes files into a folder, with .git in it if it is one.
func repository(t *testing.T, git bool, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if git {
		if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func crd(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("../../config/crd/bases/stele.dev_releasetracks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// run plays the subcommand.
func run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Command{CRD: crd(t), Out: &stdout, Err: &stderr}.Run(args)
	return code, stdout.String(), stderr.String()
}

func trackFile(t *testing.T, gates string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/track.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "track.yaml")
	if err := os.WriteFile(path, append(data, []byte("  gates: {"+gates+"}\n")...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReports(t *testing.T) {
	t.Parallel()
	several := with(clean, "deploy/more.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: web, finalizers: [a/b], namespace: other}\nspec: {selector: {app: web}}\n---\n"+
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}\n", "base/web.yaml", config+"---\n"+deployment(careless))
	for name, tc := range map[string]struct {
		files map[string]string
		gates string
		args  []string
		code  int
	}{
		"clean":       {files: clean},
		"warnings":    {files: with(clean, "base/web.yaml", config+"---\n"+deployment(careless))},
		"several":     {files: several, gates: "images: Require, hardening: Enforce", code: exitRefused},
		"unreadable":  {files: with(clean, "base/web.yaml", "a: [\n"), code: exitRefused},
		"below_floor": {files: with(clean, "base/web.yaml", config+"---\n"+deployment(careless)), gates: "images: Ignore, hardening: Ignore", args: []string{"--min-gate-hardening=Enforce"}, code: exitRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := repository(t, true, tc.files)
			code, out, errs := run(t, append([]string{"--path", filepath.Join(dir, "deploy"), "--track", trackFile(t, tc.gates)}, tc.args...)...)
			if code != tc.code || errs != "" {
				t.Errorf("exit code %d, want %d; stderr %q", code, tc.code, errs)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(out), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Machines read the same report in two ways, and the exit code does not depend on it.
func TestReportsForMachines(t *testing.T) {
	t.Parallel()
	dir := repository(t, true, with(clean, "base/web.yaml", config+"---\n"+deployment(careless)))
	var reports [2]Report
	for i, output := range []string{"json", "yaml"} {
		code, out, errs := run(t, "--path", filepath.Join(dir, "deploy"), "--track", trackFile(t, "hardening: Enforce"), "-o", output)
		if code != exitRefused || errs != "" {
			t.Errorf("%s: exit code %d, stderr %q", output, code, errs)
		}
		var err error
		if output == "json" {
			err = json.Unmarshal([]byte(out), &reports[i])
		} else {
			err = yaml.Unmarshal([]byte(out), &reports[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(reports[0], reports[1]); diff != "" {
		t.Error(diff)
	}
	verdicts := map[string]policy.Outcome{}
	for _, g := range reports[0].Gates {
		verdicts[g.ID] = g.Verdict
		for _, f := range g.Findings {
			if f.Gate != g.ID || f.File != "base/web.yaml:6" || f.Object != "Deployment/web" {
				t.Errorf("%+v", f)
			}
		}
	}
	if verdicts["hardening/non-root"] != policy.Failed || verdicts["kinds"] != policy.Passed || verdicts["foreign-selector"] != policy.NotChecked {
		t.Errorf("%v", verdicts)
	}
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	dir := repository(t, true, clean)
	path, track := filepath.Join(dir, "deploy"), trackFile(t, "")
	for name, tc := range map[string]struct {
		args  []string
		words string
	}{
		"no flags":                     {nil, "--path"},
		"no track":                     {[]string{"--path", path}, "--track"},
		"an unknown flag":              {[]string{"--path", path, "--track", track, "--cluster"}, "unknown flag"},
		"an argument":                  {[]string{path, "--path", path, "--track", track}, "flags only"},
		"an unknown form":              {[]string{"--path", path, "--track", track, "-o", "xml"}, "--output"},
		"an unknown floor":             {[]string{"--path", path, "--track", track, "--min-gate-images=Always"}, "--min-gate-images"},
		"a track that is not there":    {[]string{"--path", path, "--track", filepath.Join(dir, "x.yaml")}, "--track"},
		"a file without a track":       {[]string{"--path", path, "--track", filepath.Join(dir, "base", "web.yaml")}, "no ReleaseTrack"},
		"another namespace":            {[]string{"--path", path, "--track", track, "-n", "other"}, "metadata.namespace"},
		"a gate that does not exist":   {[]string{"--path", path, "--track", trackFile(t, "hardening: Always")}, "spec.gates.hardening"},
		"a field that does not exist":  {[]string{"--path", path, "--track", trackFile(t, "records: Warn")}, `unknown field "spec.gates.records"`},
		"control characters in a name": {[]string{"--path", path, "--track", "a\x1b[31m"}, "a\uFFFD[31m"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := run(t, tc.args...)
			if code != exitTrouble || out != "" || !strings.Contains(errs, tc.words) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want %q", code, out, errs, tc.words)
			}
		})
	}
	if code, out, errs := run(t, "--help"); code != exitAccepted || out != "" || !strings.Contains(errs, "--track") {
		t.Errorf("--help: exit code %d, stdout %q, stderr %q", code, out, errs)
	}
}

// What a folder may use is the repository that it is in, and nothing beyond.
func TestFolders(t *testing.T) {
	t.Parallel()
	track := trackFile(t, "")
	outside := repository(t, false, clean)
	for name, tc := range map[string]struct {
		dir   string
		code  int
		words string
	}{
		"a base elsewhere in the repository":    {filepath.Join(repository(t, true, clean), "deploy"), exitAccepted, "no gate fails"},
		"the repository itself":                 {repository(t, true, map[string]string{"a.yaml": config}), exitAccepted, "no gate fails"},
		"a folder that is no repository":        {repository(t, false, map[string]string{"a.yaml": config}), exitAccepted, "no gate fails"},
		"a base outside of what is known":       {filepath.Join(outside, "deploy"), exitRefused, "kustomize"},
		"a folder that is not there":            {filepath.Join(repository(t, true, clean), "nowhere"), exitRefused, "not in this commit"},
		"an empty folder":                       {repository(t, true, nil), exitRefused, "there is nothing to release"},
		"a file name that moves the cursor":     {repository(t, true, map[string]string{"a\x1b[2J.yaml": "a: ["}), exitRefused, "a\uFFFD[2J.yaml:1"},
		"a name of a file that reverses a line": {repository(t, true, map[string]string{"a\u202egnp.yaml": "a: ["}), exitRefused, "a\uFFFDgnp.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := run(t, "--path", tc.dir, "--track", track)
			if code != tc.code || errs != "" || !strings.Contains(out, tc.words) {
				t.Errorf("exit code %d, want %d with %q; stderr %q\n%s", code, tc.code, tc.words, errs, out)
			}
		})
	}
	linked := repository(t, true, map[string]string{"deploy/a.yaml": config})
	if err := os.Symlink(filepath.Join(outside, "base", "web.yaml"), filepath.Join(linked, "deploy", "b.yaml")); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := run(t, "--path", filepath.Join(linked, "deploy"), "--track", track); code != exitRefused || !strings.Contains(out, "symbolic link") {
		t.Errorf("a link to a file outside: exit code %d\n%s", code, out)
	}
}

// The references of the track are checked as the operator checks them.
func TestNameReferences(t *testing.T) {
	t.Parallel()
	dir := repository(t, true, map[string]string{"deploy/a.yaml": config + "---\napiVersion: example.org/v1\nkind: Widget\nmetadata: {name: a}\nspec: {config: web, size: 3}\n"})
	for name, tc := range map[string]struct {
		field string
		code  int
		words string
	}{
		"a name":           {"config", exitAccepted, "no gate fails"},
		"what is not text": {"size", exitRefused, "Widget/a: spec.size: spec.nameReferences of the track expects text here"},
	} {
		track := trackFile(t, "}\n  nameReferences: [{group: example.org, kind: Widget, path: spec."+tc.field+", target: {kind: ConfigMap}}]\n  rollout: {")
		code, out, errs := run(t, "--path", filepath.Join(dir, "deploy"), "--track", track)
		if code != tc.code || errs != "" || !strings.Contains(out, tc.words) {
			t.Errorf("%s: exit code %d, want %d with %q; stderr %q\n%s", name, code, tc.code, tc.words, errs, out)
		}
	}
}

func TestReadTrack(t *testing.T) {
	t.Parallel()
	const good = "apiVersion: stele.dev/v1alpha1\nkind: ReleaseTrack\nmetadata: {name: shop, namespace: shop}\nspec:\n  serviceAccountName: shop\n  source: {url: 'https://git.example/a'}\n"
	track, err := readTrack(crd(t), []byte(good+"  gates: null\n  ignore: [{kind: Namespace}]\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	if track.Spec.Gates != (v1alpha1.Gates{Images: v1alpha1.ImagesResolve, Hardening: v1alpha1.GateWarn}) || track.Spec.Source.Path != "./" || *track.Spec.History.Keep != 10 ||
		track.Spec.Rollout.Drain.Seconds() != 30 {
		t.Errorf("defaults: %+v", track.Spec)
	}
	if track, err := readTrack(crd(t), []byte(strings.Replace(good, ", namespace: shop", "", 1)), "team"); err != nil || track.Namespace != "team" {
		t.Errorf("namespace of the flag: %v", err)
	}
	for name, tc := range map[string]struct{ text, words string }{
		"a required field is missing": {strings.Replace(good, "  serviceAccountName: shop\n", "", 1), "spec.serviceAccountName"},
		"a field is unknown":          {good + "  prune: true\n", "prune"},
		"a field is there twice":      {good + "  serviceAccountName: a\n", "serviceAccountName"},
		"a value of another type":     {good + "  suspend: maybe\n", "suspend"},
		"a value too many":            {good + "  history: {keep: 1000}\n", "spec.history.keep"},
		"a malformed value":           {good + "  pin: Shop\n", "spec.pin"},
		"no namespace":                {strings.Replace(good, ", namespace: shop", "", 1), "--namespace"},
		"a name that is too long":     {strings.Replace(good, "name: shop", "name: "+strings.Repeat("a", 41), 1), "metadata.name"},
		"two tracks":                  {good + "---\n" + good, "two ReleaseTracks"},
		"another version":             {strings.Replace(good, "v1alpha1", "v2", 1), "apiVersion"},
		"no track":                    {"apiVersion: v1\nkind: ConfigMap\n", "no ReleaseTrack"},
		"no YAML":                     {"a: [", "not YAML"},
		"nothing":                     {"", "no ReleaseTrack"},
	} {
		if _, err := readTrack(crd(t), []byte(tc.text), ""); err == nil || !strings.Contains(err.Error(), tc.words) {
			t.Errorf("%s: got %v, want %q", name, err, tc.words)
		}
	}
}
