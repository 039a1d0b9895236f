//go:build e2e

package scale

import (
	"errors"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/perf/lab"
	"xoauth2-proxy/perf/lab/labtest"
)

// TestNothingShared: proxies that have the whole limit each exceed it together, and those that
// have a part each do not. The program sees both.
func TestNothingShared(t *testing.T) {
	labtest.Run(t, func(b *lab.Bench) {
		for share, fails := range map[string]bool{"nothing": true, "divided": false} {
			o := &Command{Share: share, Proxies: 3, Accounts: 3, Rate: 60, Phase: 3 * time.Second, Pace: 100 * time.Millisecond, Clients: 9,
				Faults: []string{"none"}}
			phases := o.run(b)
			err := errors.Join(o.failures(phases)...)
			if fails != (err != nil && strings.Contains(err.Error(), "too many connections at an instant")) || !fails && err != nil {
				t.Errorf("%s: %v\n%v", share, err, o.table(phases))
			}
		}
	})
}
