package testkit

import "go.uber.org/goleak"

// VerifyNoLeaks runs the tests of a package that uses event loops, and fails when one has
// left a goroutine. It ignores the goroutines of a worker pool that package gnet starts
// when it is loaded.
func VerifyNoLeaks(m goleak.TestingM, more ...goleak.Option) {
	goleak.VerifyTestMain(m, append(more,
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*goWorker).run.func1"))...)
}
