// Package reconcile finds and mends differences between rollups and the raw
// events that they are made of, while workers go on.
//
// CheckDay compares one day, RebuildDay mends it. Around them are the ways in
// which days come to be looked at: jobs that an operator begins (Runner), the
// schedule of each worker process (Reconciler), and queries that find a day
// without its rollup (Repairs).
//
// What is exact rests on the order in which things are read; check.go tells
// it. What is safe rests on two rules: a rollup is replaced by
// compare-and-swap only, and never by one that counts less, unless it is
// forced.
package reconcile
