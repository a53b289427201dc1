// Package apply writes the objects of a release and observes them: create what is Versioned, apply what is Stable or
// InPlace, delete by label and see what is left. It decides nothing: what to do comes from the planner.
package apply
