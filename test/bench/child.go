package main

import "fmt"

// children are the small servers that this binary can be started as, by name.
var children = map[string]func(args []string) error{}

// runChild is the life of one of the small servers.
func runChild(name string, args []string) error {
	run := children[name]
	if run == nil {
		return fmt.Errorf("there is no server %q", name)
	}
	return run(args)
}
