// Package crash proves on real processes what the model of internal/worker
// proves of the protocol: an event that was answered with 202 is counted once,
// whatever is killed and whenever. It has only tests; docs/testing.md says how
// to run them and what they show.
package crash
