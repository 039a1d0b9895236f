//go:build e2e

package upgrade

import (
	"errors"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/perf/lab"
	"xoauth2-proxy/perf/lab/labtest"
)

// TestRestart: a restart under load is not one that nobody notices, and the program says so.
func TestRestart(t *testing.T) {
	o := &Command{Upgrades: 1, Every: time.Second, Rate: "100/s", Accounts: 5, Clients: 10, PerConn: 1, Pace: 5 * time.Millisecond, By: "restart"}
	labtest.Run(t, func(b *lab.Bench) {
		r := o.run(b)
		if err := errors.Join(r.failures(o)...); err == nil || !strings.Contains(err.Error(), "connections were refused") {
			t.Errorf("%v\n%v", err, r.table(o))
		}
		if p := r.proof(); p.Delivered == 0 || p.Missing+p.Duplicated != 0 || r.mostConnections() == 0 || r.load.Total.Accepted < 500 {
			t.Errorf("%v", r.table(o))
		}
	})
}
