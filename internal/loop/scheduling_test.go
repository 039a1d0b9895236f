package loop

import (
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestScheduleAsBatch: all threads have the policy afterwards, also threads that are
// made later.
func TestScheduleAsBatch(t *testing.T) {
	before := newThreads(t, 4)
	if err := ScheduleAsBatch(); err != nil {
		t.Fatal(err)
	}
	after := newThreads(t, 16)
	for what, threads := range map[string][]int{"before": before, "after": after} {
		for _, id := range threads {
			if policy, err := schedulingOf(id); err != nil || policy != unix.SCHED_BATCH {
				t.Errorf("a thread made %s: policy %d, %v; want %d", what, policy, err, unix.SCHED_BATCH)
			}
		}
	}
}

// newThreads returns n threads that live as long as the test.
func newThreads(t *testing.T, n int) []int {
	ids := make(chan int)
	over := make(chan struct{})
	var ended sync.WaitGroup
	t.Cleanup(func() {
		close(over)
		ended.Wait()
	})
	var threads []int
	for range n {
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ids <- unix.Gettid()
			<-over
		})
		threads = append(threads, <-ids)
	}
	return threads
}
