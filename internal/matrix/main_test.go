package matrix

import (
	"flag"
	"fmt"
	"net"
	"os"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/testkit"
)

// parallelCases is how many cases run at one time: most of them wait for a
// timeout most of the time, whatever the number of CPUs.
const parallelCases = "16"

// TestMain checks, when all has ended, that no goroutine and no content is
// left. The two goroutines that it ignores belong to a worker pool that package
// gnet starts when it is loaded.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", parallelCases); err != nil {
		panic(err)
	}
	testkit.VerifyNoLeaks(leakless{m})
}

// leakless runs the tests and fails when segments of content are left.
type leakless struct{ m *testing.M }

func (l leakless) Run() int {
	resolver, stop, err := serveNames()
	if err != nil {
		panic(err)
	}
	net.DefaultResolver = resolver
	code := l.m.Run()
	stop()
	if n := codec.LiveSegments(); n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d segments of content are left\n", n)
		return 1
	}
	return code
}
