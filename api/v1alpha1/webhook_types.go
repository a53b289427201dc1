package v1alpha1

// WebhookProvider is the kind of Git server that sends.
// +kubebuilder:validation:Enum=GitHub;GitLab;Gitea;Forgejo;Generic
type WebhookProvider string

const (
	// WebhookGitHub: HMAC-SHA256 in X-Hub-Signature-256.
	WebhookGitHub WebhookProvider = "GitHub"
	// WebhookGitLab: the secret token itself in X-Gitlab-Token.
	WebhookGitLab WebhookProvider = "GitLab"
	// WebhookGitea: HMAC-SHA256 in X-Gitea-Signature.
	WebhookGitea WebhookProvider = "Gitea"
	// WebhookForgejo: HMAC-SHA256 in X-Forgejo-Signature.
	WebhookForgejo WebhookProvider = "Forgejo"
	// WebhookGeneric: HMAC in X-Signature, as in Flux (generic-hmac); for what a script sends.
	WebhookGeneric WebhookProvider = "Generic"
)

// SourceWebhook says who may tell of pushes. The address is /hook/<namespace>/<name of the Secret> on the operator's webhook port; one
// webhook serves all tracks of the namespace that name the same Secret and follow the repository of the payload.
type SourceWebhook struct {
	// provider: how the request is signed, and what it looks like.
	// +required
	Provider WebhookProvider `json:"provider"`
	// secretRef names a Secret in the track's namespace. Its key token is the secret that was entered at the Git server; at least 16 bytes.
	// +required
	SecretRef LocalObjectReference `json:"secretRef"`
}
