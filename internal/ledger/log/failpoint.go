package log

// failpoint is called between steps. Tests end the process there.
var failpoint = func(string) {}
