// Package hostile lets the operator, as a process with the memory that config/default gives it, follow all hostile repositories of
// docs/hostile-inputs.md at the same time, beside healthy ones that nobody may hold up. The cluster is the embedded one of
// hack/controlplane.
package hostile
