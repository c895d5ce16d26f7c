// Package erased holds the test that nothing of an erased customer is left: it plants a text that is nowhere else wherever one can
// stand, in a whole server over sockets and a file, sees that each can be found, has the customer erased, and looks for them with
// every method that reads, as every kind of caller, over gRPC and REST, in what is watched, sent to endpoints, logged and traced, in
// a new backup, and, after a compaction, in the bytes of the file.
package erased
