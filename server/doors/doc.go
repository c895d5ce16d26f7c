// Package doors holds the tests of who comes in, and as whom. It has no code of its own: everything here runs against a
// whole server, over real sockets.
//
//   - The matrix (matrix_*_test.go) calls every method as every kind of caller, over gRPC and REST, on an object of their
//     own, somebody else's, another workspace's and a missing one, and holds each answer to a table.
//   - The advisories (advisories_*_test.go) are what went wrong in products like this one, as tests of this one.
//   - The canaries (canaries_test.go) are words planted in whatever callers send, and looked for in logs, traces, metrics
//     and other people's answers.
package doors
