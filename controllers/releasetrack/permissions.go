package releasetrack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/kube"
)

// permissionTTL is how long a yes counts: many tracks of one namespace that get a commit at once ask the same. A no is never kept.
const permissionTTL = 5 * time.Second

// permissions asks the API server what a service account may do.
type permissions struct {
	live client.Client
	yes  *cache.Expiring
}

func newPermissions(live client.Client) *permissions {
	return &permissions{live: live, yes: cache.NewExpiring()}
}

// review is one question to the API server: may the track's service account do this?
type review struct {
	group, resource, verb string
}

// permission is what an answer was about; without a review: that the account exists.
type permission struct {
	account types.NamespacedName
	review  review
}

func (p *permissions) granted(q permission) bool {
	_, ok := p.yes.Get(q)
	return ok
}

func (p *permissions) grant(q permission) { p.yes.Set(q, nil, permissionTTL) }

// named refuses an identity that is none: what a question with an empty name would be answered for is nobody, or somebody else.
func named(account types.NamespacedName) error {
	if account.Namespace != "" && account.Name != "" && !strings.Contains(account.Namespace+account.Name, ":") {
		return nil
	}
	return kube.Refuse(v1alpha1.ServiceAccountMissingReason, fmt.Sprintf(
		"spec.serviceAccountName: %q names no ServiceAccount; name one of namespace %q, whose rights bound what a release may hold", account.Name, account.Namespace))
}

// accountExists refuses an account that is not there.
func (p *permissions) accountExists(ctx context.Context, account types.NamespacedName) error {
	if err := named(account); err != nil {
		return err
	}
	q := permission{account: account}
	if p.granted(q) {
		return nil
	}
	err := p.live.Get(ctx, account, &corev1.ServiceAccount{})
	if apierrors.IsNotFound(err) {
		return kube.Refuse(v1alpha1.ServiceAccountMissingReason, fmt.Sprintf(
			"spec.serviceAccountName: ServiceAccount %s does not exist in namespace %s", account.Name, account.Namespace))
	}
	if err == nil {
		p.grant(q)
	}
	return kube.Classify(err, "ServiceAccount "+account.Name)
}

// ask puts all questions at once and names every one that was answered with no.
func (p *permissions) ask(ctx context.Context, account types.NamespacedName, reviews []review) error {
	if err := named(account); err != nil {
		return err
	}
	denied := make([]string, len(reviews))
	errs := make([]error, len(reviews))
	var wg sync.WaitGroup
	for i, q := range reviews {
		if p.granted(permission{account, q}) {
			continue
		}
		wg.Go(func() {
			sar := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               fmt.Sprintf("system:serviceaccount:%s:%s", account.Namespace, account.Name),
				Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + account.Namespace, "system:authenticated"},
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: account.Namespace, Verb: q.verb, Group: q.group, Resource: q.resource},
			}}
			errs[i] = p.live.Create(ctx, sar)
			switch {
			case errs[i] != nil:
			case sar.Status.Allowed:
				p.grant(permission{account, q})
			default:
				denied[i] = q.verb + " " + schema.GroupResource{Group: q.group, Resource: q.resource}.String()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return kube.Classify(err, "SubjectAccessReview")
		}
	}
	if denied = slices.DeleteFunc(denied, func(d string) bool { return d == "" }); len(denied) > 0 {
		return kube.Refuse(v1alpha1.NotAllowedReason, fmt.Sprintf(
			"service account %s may not: %s. Give it these rights in namespace %s with a Role and a RoleBinding, or take the objects out of Git",
			account.Name, strings.Join(denied, ", "), account.Namespace))
	}
	return nil
}
