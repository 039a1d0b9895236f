//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// queued is how many messages a mail transfer agent is given, and injectors how many
// programs give them to it at a time.
const (
	queued    = 200
	injectors = 8
)

// transferAgent is an MTA whose smart host is the proxy.
type transferAgent struct {
	inject func(t *testing.T, m mail)
	// flush has it deliver what it has only queued.
	flush func(t *testing.T)
	// checkDelivered checks that to its knowledge all is delivered.
	checkDelivered func(t *testing.T, all []mail)
}

// TestQueues gives many messages to a mail transfer agent and looks at both ends:
// each message arrives once, and the agent's queue is empty then. An agent that does
// not read the proxy's answer would keep the message, and send it again.
func TestQueues(t *testing.T) {
	for _, agent := range []struct {
		name  string
		start func(t *testing.T, s *stack, ca string, later bool) transferAgent
	}{{"Exim", eximAgent}, {"Postfix", postfixAgent}} {
		for _, tlsMode := range []string{clear, starttls} {
			for _, later := range []bool{false, true} {
				for _, rcpts := range []int{1, 3} {
					t.Run(fmt.Sprintf("%s/tls=%s/later=%v/rcpts=%d", agent.name, tlsMode, later, rcpts), func(t *testing.T) {
						cfg := sandbox.Config{Accounts: accounts(gmailUser, outlookUser), Limits: "off"}
						var s *stack
						ca := ""
						if tlsMode == clear {
							s = newStackWith(t, cfg)
						} else {
							secured := newSecuredWith(t, cfg)
							s, ca = secured.stack, secured.ca
						}
						a := agent.start(t, s, ca, later)
						all := manyMessages(rcpts)
						injectAll(t, all, a.inject)
						if later {
							a.flush(t)
						}
						s.arrivedEach(t, all)
						a.checkDelivered(t, all)
						s.arrivedEach(t, all) // nothing came after that
					})
				}
			}
		}
	}
}

// manyMessages are messages to that many recipients of their own each, of an account
// that may send so many at once.
func manyMessages(rcpts int) []mail {
	all := make([]mail, queued)
	for i := range all {
		all[i] = mail{login: gmailUser, from: gmailUser, content: compose("text/plain", "7bit", fmt.Sprintf("message %d\r\n", i))}
		for r := range rcpts {
			all[i].to = append(all[i].to, fmt.Sprintf("message%03d.recipient%d@example.com", i, r))
		}
	}
	return all
}

// injectAll gives all messages to an agent, some at a time.
func injectAll(t *testing.T, all []mail, inject func(*testing.T, mail)) {
	t.Helper()
	var group sync.WaitGroup
	for n := range injectors {
		group.Go(func() {
			for i := n; i < len(all) && !t.Failed(); i += injectors {
				inject(t, all[i])
			}
		})
	}
	group.Wait()
}

// arrivedEach waits for as many messages as there are in want, and checks that each
// arrived once, with all its recipients, and no other.
func (s *stack) arrivedEach(t *testing.T, want []mail) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), arrivalTimeout)
	defer cancel()
	got, err := s.provider.WaitFor(ctx, len(want))
	if err != nil {
		t.Error(err)
	}
	missing := make(map[string]mail, len(want))
	for _, m := range want {
		missing[strings.Join(m.to, " ")] = m
	}
	for _, m := range got {
		to := provider.Paths(m)
		slices.Sort(to)
		key := strings.Join(to, " ")
		expected, ok := missing[key]
		delete(missing, key)
		switch {
		case !ok:
			t.Errorf("a message to %s arrived twice, or with recipients left out", key)
		case m.Account != expected.login || m.ReversePath != expected.from:
			t.Errorf("the message to %s came from %s under the login %s, want %s", key, m.ReversePath, m.Account, expected.login)
		case digest(withoutTrace(t, m.Body, len(expected.content))) != digest(expected.content):
			t.Errorf("the content of the message to %s is not what was sent", key)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%d of %d messages did not arrive", len(missing), len(want))
	}
}

// eximAgent delivers by itself, or by runs of its queue.
func eximAgent(t *testing.T, s *stack, ca string, later bool) transferAgent {
	exim := eximProgram(t)
	tlsMode := eximClear
	if ca != "" {
		tlsMode = eximTLS
	}
	_, config := configureExim(t, exim, s, "PLAIN", tlsMode)
	when := "-odf" // before it returns
	if later {
		when = "-odq"
	}
	return transferAgent{
		inject: func(t *testing.T, m mail) {
			mustRun(t, withLF(m.content), exim, append([]string{"-C", config, when, "-i", "-f", m.from, "--"}, m.to...)...)
		},
		flush: func(t *testing.T) {
			var group sync.WaitGroup
			for range 3 { // they share the work
				group.Go(func() { mustRun(t, nil, exim, "-C", config, "-q") })
			}
			group.Wait()
		},
		checkDelivered: func(t *testing.T, _ []mail) {
			if n := strings.TrimSpace(string(mustRun(t, nil, exim, "-C", config, "-bpc").stdout)); n != "0" {
				t.Errorf("Exim has %s messages in its queue:\n%s", n, mustRun(t, nil, exim, "-C", config, "-bp"))
			}
		},
	}
}

// postfixAgent delivers at once, or holds all messages until they are released.
func postfixAgent(t *testing.T, s *stack, ca string, later bool) transferAgent {
	sendmail := postfixSendmail(t)
	var settings []string
	if ca != "" {
		settings = postfixTLS(ca)
	}
	if later {
		settings = append(settings, "header_checks = static:HOLD\n")
	}
	p := startPostfix(t, s, "plain", settings...)
	return transferAgent{
		inject: func(t *testing.T, m mail) {
			mustRun(t, withLF(m.content), sendmail, append([]string{"-C", p.config, "-i", "-f", m.from, "--"}, m.to...)...)
		},
		flush: func(t *testing.T) {
			p.await(t, "all are held", func() bool { return strings.Count(p.queue(t), `"queue_name": "hold"`) == queued })
			if n := len(s.provider.Messages()); n != 0 {
				t.Errorf("%d messages arrived that are on hold", n)
			}
			mustRun(t, nil, program(t, "postsuper"), "-c", p.config, "-H", "ALL")
			mustRun(t, nil, program(t, "postqueue"), "-c", p.config, "-f")
		},
		checkDelivered: func(t *testing.T, all []mail) {
			var to []string
			for _, m := range all {
				to = append(to, m.to...)
			}
			for rcpt, status := range p.statuses(t, to, 0) {
				if status != "sent" {
					t.Errorf("the status of %s is %s, want sent", rcpt, status)
				}
			}
			if n := strings.Count(p.logged(), "status=deferred"); n > 0 {
				t.Errorf("%d deliveries were deferred", n)
			}
			p.await(t, "the queue is empty", func() bool { return p.queue(t) == "" })
		},
	}
}

// queue is what Postfix has in its queue, in JSON.
func (p *postfix) queue(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(string(mustRun(t, nil, program(t, "postqueue"), "-c", p.config, "-j").stdout))
}

// await waits for cond, which is looked at again and again.
func (p *postfix) await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(arrivalTimeout); !cond(); {
		if time.Now().After(deadline) {
			t.Fatalf("not so after %v: %s", arrivalTimeout, what)
		}
		select {
		case <-p.logs:
		case <-time.After(50 * time.Millisecond):
		}
	}
}
