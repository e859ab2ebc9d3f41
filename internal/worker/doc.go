// Package worker is the role that moves events from the queue into the store:
// raw events, and in the same pass the rollups.
//
// # The step
//
// A worker reads a contiguous run of a stream behind its checkpoint and takes
// it through one step (stream.go), always in this order:
//
//  1. Raw first. The raw events are inserted by their keys. What is there
//     already with the same position is a replay and goes on; what is there
//     with another position is a client's retry and ends here. So does what
//     is older than the raw events that are kept, for nobody could tell what
//     it is (expired.go). Dead letters are put away.
//  2. Then fold, guarded by the day's own mark. Each rollup is loaded, takes
//     the events beyond its mark, and is written by compare-and-swap. After a
//     conflict it is loaded again; its mark tells what is in.
//  3. Then the checkpoint, then the trim.
//
// Whatever stops it in between, the next step begins at the old checkpoint,
// repeats the work and changes nothing. Two workers on one stream, one of
// them perhaps a zombie, do the same: they waste work. So nothing here
// depends on leases, clocks or on who is alive.
//
// # Time zones
//
// A step reads the settings of its sites (places.go), dates the events in their
// zones, and folds each event into a day of every zone in which rollups of its
// site are kept. It reads them after its entries, and each time. A change of
// zone rests on that: when it is announced, what a step reads later is folded
// by it, and all that others may still fold without it is in the queue. See
// reconcile.ZoneChange.
//
// # Leases
//
// Leases (crew.go) only spread the work. Each worker keeps one that names
// itself and raises its term every second; whoever sees that term unchanged
// for the lease time, on its own clock, takes it for dead. The claim on a
// stream names its owner and is written only when it changes hands. No two
// clocks are ever compared.
package worker
