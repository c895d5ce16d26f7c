// Package right holds the checker of what is made right: credits, and the apologies of incidents. It has no code of its own.
//
// TestApologies and TestGrants build the server and run it as a process. Everyone affected by an incident is added to it, told
// and credited, and credits are granted by many at once, while the server is killed with SIGKILL again and again. At the end
// everything is counted twice, as the API tells it and as the file holds it: exactly one apology and one credit for each.
//
// TestFaults has commits of a server in this process fail, at each point of a commit and with each kind of thing in it, while
// credits are granted and settled, apologies and messages written, customers erased and webhooks delivered. It fails if there is
// a point where nothing ever failed.
//
// TestTheJudge holds the judge itself to what it must find.
//
//	go test ./server/right
//	go test ./server/right -run TestApologies -apologies 100000 -kills 50 -timeout 1h
//
// A run prints its seed; -seed repeats what is chosen, as far as the machine's timing lets it.
package right
