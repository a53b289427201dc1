package render

// Bounds on what one release may make the operator read and hold. They are applied before the costly step that they
// protect: sizes before parsing, visits before a kustomize build.
const (
	// maxFileBytes is the largest file that is read.
	maxFileBytes = 2 << 20
	// maxReadBytes and maxReadFiles bound all files of one build.
	maxReadBytes = 8 << 20
	maxReadFiles = 1000
	// maxEntries bounds the folder entries that are looked at, so that 200,000 tiny files cost little.
	maxEntries = 20000
	// maxSeparators bounds the tokens of one file that make a parser allocate: a node costs far more than its text.
	maxSeparators = 1 << 18
	// maxDocuments bounds the documents of one file, empty ones included.
	maxDocuments = 1000
	// maxAliases and maxNodes bound what YAML aliases can expand to in one file.
	maxAliases = 100
	maxNodes   = 1 << 19
	// maxDepth is the deepest nesting of maps and lists.
	maxDepth = 64

	// maxObjects, maxObjectBytes and maxRenderedBytes bound the result. One object stays well under the 1.5 MiB that
	// etcd accepts, with room for what the API server adds.
	maxObjects       = 500
	maxObjectBytes   = 1 << 20
	maxRenderedBytes = 4 << 20

	// maxAnnotations bounds the annotations of one object, of which the API server takes 256 KiB together, keys included, and the
	// operator needs some.
	maxAnnotations = 256<<10 - ownAnnotations
	ownAnnotations = 1 << 10

	// maxVisits and maxVisitBytes bound a kustomize build by the number of times that it enters a folder and by the
	// bytes that it parses on the way. A folder that is used twice is built twice, and so are its own bases: without
	// the bound, 2 x 30 small folders ask for 2^30 builds.
	maxVisits     = 1000
	maxVisitBytes = 32 << 20
	// maxBuiltBytes bounds what kustomize makes of it, kinds that are ignored included.
	maxBuiltBytes = 32 << 20
	// maxVarBytes bounds what kustomize "vars" can expand to: uses of variables times the longest value.
	maxVarBytes = 64 << 20

	// maxProblems bounds an Error. A commit that is wrong in a thousand places is not better explained by all of them.
	maxProblems = 100
)
