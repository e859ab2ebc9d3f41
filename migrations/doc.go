// Package migrations holds the versions of the store's schema.
//
// Both backends count the same versions, so that a number means the same
// program wherever it stands. A version is one file, mongodb/NNNN_name.json:
// a list of MongoDB commands in Extended JSON, run in order. What a version
// does in the embedded store, mostly nothing, stands in its Migrate. A version
// that changes only the embedded store has an empty list.
//
// To change the schema, add the next file. Never edit or remove one that was
// released. A command must do nothing when it is run again, because a
// migration that was interrupted is run again from its first command, and
// several processes may run it at once: createIndexes and collMod are like
// that, create is not (createIndexes makes its collection). dropIndexes is
// too, since an index that is not there any more is no error here.
package migrations
