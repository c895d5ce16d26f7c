// Package live holds the checker of watches. It has no code of its own: it builds the server, and runs it as a process.
//
// 50 writers do what customers and agents do, and 200 watchers of every kind are told of it, over gRPC and server-sent events.
// Their connections are cut, they leave and come back with their cursors, and the server is killed with SIGKILL again and again.
// At the end the store is read from its file, and every watcher must have been told exactly what it says: nothing missing,
// nothing twice, nothing out of order, nothing that the audience may not see, and what was edited or redacted as it reads.
// What was acknowledged to writers must be there, once.
//
//	go test ./server/live
//	go test ./server/live -run TestLive -deliveries 5000000 -kills 100 -timeout 2h
//
// A run prints its seed; -seed repeats what the writers and watchers choose, as far as the machine's timing lets it.
package live
