package testkit

import (
	"net"

	"go.uber.org/goleak"
)

// VerifyNoLeaks runs the tests of a package that uses event loops, and fails when one has
// left a goroutine. It ignores the goroutines of a worker pool that package gnet starts
// when it is loaded. It looks a name up first: the resolver makes a channel at its first
// look-up, and one that is made in the bubble of a test in virtual time ends the process when
// a look-up outside uses it.
func VerifyNoLeaks(m goleak.TestingM, more ...goleak.Option) {
	_, _ = net.LookupHost("localhost")
	goleak.VerifyTestMain(m, append(more,
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*goWorker).run.func1"))...)
}
