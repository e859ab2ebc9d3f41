package main

import "fmt"

// children are the small servers and jobs that this binary can be started as,
// by name.
var children = map[string]func(args []string) error{
	"answers":      runAnswers,
	"bare":         runBare,
	"ingest":       runIngest,
	"insert":       insertEvents,
	"put":          putEvents,
	"work":         runWorkers,
	"xadd":         runXadd,
	"plain-events": runPlainEvents,
	"scan-events":  runScanEvents,
}

// runChild is the life of one of the small servers.
func runChild(name string, args []string) error {
	run := children[name]
	if run == nil {
		return fmt.Errorf("there is no server %q", name)
	}
	return run(args)
}
