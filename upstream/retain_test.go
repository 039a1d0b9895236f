package upstream

import (
	"fmt"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
)

// TestRetainInSteps has a shard with 10,000 mailboxes told of other accounts: what
// is in its mailbox by then is handled after the first few of them, and in the end
// all know. A reload meanwhile takes over.
func TestRetainInSteps(t *testing.T) {
	const live = 10_000
	f := newFixture(t, nil)
	base := &account.Account{ID: "app", Email: "*@example.com", Flow: account.FlowClientCredentials}
	before := snapshotOf(t, base)
	sh := f.relay.shards[0]
	sh.do(func(time.Time) {
		for i := range live {
			a, ok := before.ByLogin(fmt.Appendf(nil, "user%d@example.com", i))
			if !ok {
				t.Error("no mailbox")
			}
			sh.state(a)
		}
	})
	changed := func(vmta string) *account.Snapshot {
		b := *base
		b.VMTA = vmta
		return snapshotOf(t, &b)
	}
	// told counts the mailboxes that have the settings; it posts and the count comes.
	told := func(vmta string) chan int {
		count := make(chan int, 1)
		sh.do(func(time.Time) {
			n := 0
			for _, st := range sh.accounts {
				if st.account.VMTA == vmta && !st.gone {
					n++
				}
			}
			count <- n
		})
		return count
	}
	for _, vmtas := range [][]string{{"one"}, {"two", "three"}} {
		begun, release := make(chan struct{}), make(chan struct{})
		go sh.do(func(time.Time) { close(begun); <-release })
		<-begun
		last := vmtas[len(vmtas)-1]
		for _, vmta := range vmtas {
			f.relay.Retain(changed(vmta))
		}
		count := told(last)
		close(release)
		if n := <-count; n != retainStep {
			t.Errorf("%q: %d mailboxes were told before what was waiting, want %d", last, n, retainStep)
		}
		for n := 0; n < live; {
			n = <-told(last)
		}
	}
	f.relay.Retain(snapshotOf(t, &account.Account{ID: "other", Email: "other@example.com"}))
	for gone := -1; gone < live; {
		count := make(chan int)
		go sh.do(func(time.Time) {
			n := 0
			for _, st := range sh.accounts {
				if st.gone {
					n++
				}
			}
			count <- n
		})
		gone = <-count
	}
}
