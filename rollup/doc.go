// Package rollup is Daybook's core: events in, one Day out.
//
// A Day is everything that is reported about one site on one date: counters,
// sketches of the users, the visits, and one bounded table of counts and users
// per dimension. It is
// made by Fold and by nothing else: the worker, the rebuild, the raw-scan
// fallback and the import all call the same function, so that a change of
// what a number means is one change.
//
// # Exactly once
//
// A Day carries Marks: for each stream of the queue the Position up to which
// it is folded. Fold skips events at or below the mark and moves the mark in
// the same value that it counts in, so whoever writes the Day writes both at
// once. Folding the same run of a stream again changes nothing. What must
// hold for this to be exact: events of one stream are offered in the order of
// their positions, and no event of the day between the mark and the first one
// offered is left out.
//
// # Purity
//
// The package does no I/O, reads no clock, keeps no state and is
// deterministic. Its values are not safe for concurrent use; not even reads
// are, because an estimate may compact a sketch and a table is sorted when it
// is read. The one exception is the argument of Merge.
package rollup
