// Package guard tests on a real API server, with the policies installed, that nobody removes or weakens them unnoticed. It has an API server of
// its own: policies would hold for the tests beside it too.
package guard
