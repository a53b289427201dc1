package render

// Version names the way in which this package renders. It is an input of every release: a change of the rendered bytes of the
// same commit (a new kustomize, another class table) must change it.
const Version = "stele.dev/render/v2"
