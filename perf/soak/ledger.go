package soak

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/perf/lab"
)

// fate is what a client knows of a message.
type fate uint8

// The fates. An unknown one had no final reply, or the proxy said that it had none.
const (
	unsent fate = iota
	accepted
	deferred
	refused
	unknown
	numFates
)

var fateNames = [numFates]string{"not sent", "accepted", "deferred", "refused", "of unknown fate"}

// fateOf is the fate of a message whose last command gave err. ended says that
// the content had been sent whole.
func fateOf(err error, ended bool) fate {
	r, ok := errors.AsType[lab.Refusal](err)
	switch {
	case err == nil:
		return accepted
	case !ok && !ended:
		return deferred
	case !ok, strings.HasPrefix(string(r), "451 4.4.2"), strings.HasPrefix(string(r), "451 4.5.0"):
		return unknown
	case r[0] == '5':
		return refused
	}
	return deferred
}

// ledger holds the fates of the messages of one run, by number.
type ledger struct {
	run string

	mu     sync.Mutex // guards what follows
	fates  []fate
	logins int // that were refused
}

func (l *ledger) number() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fates = append(l.fates, unsent)
	return len(l.fates) - 1
}

func (l *ledger) enter(n int, f fate) {
	l.mu.Lock()
	l.fates[n] = f
	l.mu.Unlock()
}

func (l *ledger) noLogin() {
	l.mu.Lock()
	l.logins++
	l.mu.Unlock()
}

// counts returns the messages by fate.
func (l *ledger) counts() (c [numFates]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.fates {
		c[f]++
	}
	return c
}

// finding is what an audit counts.
type finding uint8

const (
	unanswered finding = iota // the client does not know that it arrived
	lost                      // acknowledged and not there
	twice
	thoughRefused
	wrong
	numFindings
)

var findingNames = [numFindings]string{"arrived without an answer", "lost", "arrived twice", "arrived though refused", "damaged or under another account"}

// verdict is what an audit found.
type verdict struct {
	fates    [numFates]int64
	counts   [numFindings]int64
	examples []string
}

func (v *verdict) add(o verdict) {
	for i, n := range o.fates {
		v.fates[i] += n
	}
	for i, n := range o.counts {
		v.counts[i] += n
	}
}

// failure lists the findings; nil if there is none.
func (v *verdict) failure() error {
	var found []string
	for i := lost; i < numFindings; i++ {
		if v.counts[i] > 0 {
			found = append(found, fmt.Sprintf("%d %s", v.counts[i], findingNames[i]))
		}
	}
	if found == nil {
		return nil
	}
	return fmt.Errorf("%s: %s", strings.Join(found, ", "), strings.Join(v.examples, ", "))
}

// compare compares the ledger with what the provider has of the run.
func (l *ledger) compare(has sandbox.LoadStats) verdict {
	v := verdict{fates: l.counts(), counts: [numFindings]int64{twice: has.Duplicates, wrong: has.WrongSum + has.WrongAccount}}
	const maxExamples = 10
	example := func(what string, n int) {
		if len(v.examples) < maxExamples {
			v.examples = append(v.examples, fmt.Sprintf("%s %s/%d", what, l.run, n))
		}
	}
	for _, n := range has.DuplicateOf {
		example("twice", int(n))
	}
	arrived := make([]bool, len(l.fates))
	for _, r := range has.DeliveredRanges {
		for n := r.First; n <= r.Last && n < uint64(len(arrived)); n++ {
			arrived[n] = true
		}
	}
	for n, f := range l.fates {
		switch {
		case f == accepted && !arrived[n]:
			v.counts[lost]++
			example("lost", n)
		case f == unknown && arrived[n]:
			v.counts[unanswered]++
		case f != accepted && arrived[n]:
			v.counts[thoughRefused]++
			example(fateNames[f]+" and there", n)
		}
	}
	return v
}

// audit asks the provider and compares.
func (r *soak) audit() verdict {
	var has sandbox.LoadStats
	if text := lab.Call(http.MethodGet, r.stand.Sandbox.API+"/loads/"+r.ledger.run, nil); text != nil {
		lab.Check(json.Unmarshal(text, &has))
	}
	return r.ledger.compare(has)
}
