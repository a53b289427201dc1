package guard

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
	"github.com/stele-dev/stele/internal/protection"
)

const (
	// probeAccount is the service account of the canary. It may create ConfigMaps in the operator's namespace, so that nothing but the
	// policies stands in its way.
	probeAccount = "stele-probe"
	canaryName   = "stele-canary"
	// canaryTimeout is for token and canary together.
	canaryTimeout = 10 * time.Second
	// tokenLifetime is what is asked for; a token is used for four fifths of what is given.
	tokenLifetime = time.Hour
)

// probe asks with a token of the service account.
type probe struct {
	namespace string
	// operator asks for tokens; config reaches the API server without a credential.
	operator client.Client
	config   *rest.Config
	clock    kube.Clock

	// as holds a token until renew.
	as    client.Client
	renew time.Time
}

// ask tries to make an object that says it belongs to a track, without storing it. What it says of a failure is stable: no addresses or ports.
func (p *probe) ask(ctx context.Context) (protection.Result, string) {
	if p.as == nil || !p.clock.Now().Before(p.renew) {
		if err := p.login(ctx); err != nil {
			return protection.ResultFailed, fmt.Sprintf("no token for service account %s/%s (%s)", p.namespace, probeAccount, reasonOf(err))
		}
	}
	err := p.as.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: canaryName, Labels: map[string]string{
		v1alpha1.TrackLabel: canaryName, v1alpha1.ReleaseLabel: canaryName, v1alpha1.RunLabel: "1"}}}, client.DryRunAll)
	result := protection.Classify(err)
	switch {
	case result != protection.ResultFailed:
		return result, ""
	case apierrors.IsUnauthorized(err):
		p.as = nil
		return result, fmt.Sprintf("the token of service account %s/%s was refused", p.namespace, probeAccount)
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		return result, fmt.Sprintf("something other than policy %s denies ConfigMaps to service account %s/%s", protection.CanaryPolicy, p.namespace, probeAccount)
	}
	return result, fmt.Sprintf("the API server gave no answer (%s)", reasonOf(err))
}

func (p *probe) login(ctx context.Context) error {
	p.as = nil
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: probeAccount}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(tokenLifetime.Seconds()))}}
	if err := p.operator.SubResource("token").Create(ctx, account, request); err != nil {
		return err
	}
	config := rest.CopyConfig(p.config)
	config.BearerToken = request.Status.Token
	as, err := client.New(config, client.Options{Scheme: p.operator.Scheme(), Mapper: p.operator.RESTMapper()})
	if err != nil {
		return err
	}
	given := time.Duration(ptr.Deref(request.Spec.ExpirationSeconds, int64(tokenLifetime.Seconds()))) * time.Second
	p.as, p.renew = as, p.clock.Now().Add(given*4/5)
	return nil
}

// reasonOf names an error without its text, which holds addresses, or what others wrote.
func reasonOf(err error) string {
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	return "no connection"
}
