package releasetrack

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/images"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/outbound"
	"github.com/stele-dev/stele/internal/render"
)

// registries asks for digests with what the pods of a release would pull with: the Secrets that they name, or that their service
// account does. A Secret or an account of the release itself counts as the release has it, any other as it is in the namespace.
type registries struct {
	live     client.Reader
	resolver *images.Resolver
}

func newRegistries(live client.Reader, dialer *outbound.Dialer) *registries {
	return &registries{live: live, resolver: images.NewResolver(dialer)}
}

// ask returns the digests of the images that a bundle names without one, in its order, and why some are missing.
func (g *registries) ask(ctx context.Context, namespace string, b *render.Bundle) (digests []v1alpha1.ResolvedImage, problems []*images.Error) {
	defer func() {
		if p := recover(); p != nil { // over hostile input: it stalls that one release
			digests, problems = nil, []*images.Error{images.Broken("of the release")}
		}
	}()
	pulls := b.Pulls()
	if len(pulls) == 0 {
		return nil, nil
	}
	reader := pullReader{live: g.live, namespace: namespace, bundle: b, secrets: map[string]pullSecret{}}
	questions := make([]images.Question, len(pulls))
	for i, p := range pulls {
		questions[i] = images.Question{Image: p.Image.Reference(), Keys: reader.keyring(ctx, p)}
	}
	for i, a := range g.resolver.Resolve(ctx, questions) {
		if a.Err != nil {
			imagesResolved.WithLabelValues(string(a.Err.Kind)).Inc()
			problems = append(problems, a.Err)
			continue
		}
		imagesResolved.WithLabelValues("Resolved").Inc()
		digests = append(digests, v1alpha1.ResolvedImage{Name: pulls[i].Image.Name, Tag: pulls[i].Image.Tag, Digest: a.Digest})
	}
	return digests, problems
}

// pullReader reads pull Secrets, each once.
type pullReader struct {
	live      client.Reader
	namespace string
	bundle    *render.Bundle
	secrets   map[string]pullSecret
}

// pullSecret is a Secret, or what is wrong with it.
type pullSecret struct {
	secret *corev1.Secret
	wrong  string
}

func (p *pullReader) keyring(ctx context.Context, pull render.Pull) *images.Keyring {
	names := pull.Secrets
	var wrong []string
	for _, account := range pull.Accounts {
		found, problem := p.ofAccount(ctx, account)
		names = append(names, found...)
		if problem != "" {
			wrong = append(wrong, problem)
		}
	}
	var secrets []corev1.Secret
	for _, name := range names {
		got, known := p.secrets[name]
		if !known {
			got = p.read(ctx, name)
			p.secrets[name] = got
		}
		if got.secret == nil {
			wrong = append(wrong, got.wrong)
			continue
		}
		secrets = append(secrets, *got.secret)
	}
	keys := images.NewKeyring(secrets)
	for _, w := range wrong {
		keys.Tell("%s", w)
	}
	return keys
}

func (p *pullReader) read(ctx context.Context, name string) pullSecret {
	secret := &corev1.Secret{}
	if p.held("Secret", name, secret) {
		return pullSecret{secret: secret}
	}
	err := p.live.Get(ctx, types.NamespacedName{Namespace: p.namespace, Name: name}, secret)
	right, lacking := kube.MissingRight(err)
	switch {
	case lacking:
		return pullSecret{wrong: "Secret " + name + " cannot be read: " + right.String()}
	case apierrors.IsNotFound(err):
		return pullSecret{wrong: "Secret " + name + " does not exist in namespace " + p.namespace}
	case err != nil:
		return pullSecret{wrong: "Secret " + name + " cannot be read: " + string(apierrors.ReasonForError(err))}
	}
	return pullSecret{secret: secret}
}

// ofAccount lists the pull Secrets of a service account, none when it is not there; and says what keeps it from being read.
func (p *pullReader) ofAccount(ctx context.Context, name string) (names []string, wrong string) {
	account := &corev1.ServiceAccount{}
	if !p.held("ServiceAccount", name, account) {
		err := p.live.Get(ctx, types.NamespacedName{Namespace: p.namespace, Name: name}, account)
		if right, lacking := kube.MissingRight(err); lacking {
			wrong = "ServiceAccount " + name + " cannot be read: " + right.String()
		}
		if err != nil {
			return nil, wrong
		}
	}
	for _, ref := range account.ImagePullSecrets {
		names = append(names, ref.Name)
	}
	return names, ""
}

// held reads an object of the core group from the release itself.
func (p *pullReader) held(kind, name string, into any) bool {
	for i := range p.bundle.Objects {
		o := p.bundle.Objects[i].Object
		if is(o, kind, name) {
			return runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into) == nil
		}
	}
	return false
}

func is(o *unstructured.Unstructured, kind, name string) bool {
	return o.GetKind() == kind && o.GetName() == name && o.GroupVersionKind().Group == ""
}
