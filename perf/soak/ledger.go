package soak

import (
	"encoding/json"
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
	r, ok := err.(lab.Refusal)
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

// verdict is what an audit found.
type verdict struct {
	fates      [numFates]int64
	unanswered int64 // arrived, and the client does not know
	lost       int64 // acknowledged and not there
	twice      int64 // there more than once
	refused    int64 // there though the client was told that it is not
	wrong      int64 // damaged, or under another account
	examples   []string
}

func (v *verdict) add(o verdict) {
	for i, n := range o.fates {
		v.fates[i] += n
	}
	v.unanswered += o.unanswered
	v.lost += o.lost
	v.twice += o.twice
	v.refused += o.refused
	v.wrong += o.wrong
}

// failure says what is wrong; nil if nothing is.
func (v *verdict) failure() error {
	if v.lost+v.twice+v.refused+v.wrong == 0 {
		return nil
	}
	return fmt.Errorf("%d lost, %d arrived twice, %d arrived though refused, %d damaged or under another account: %s",
		v.lost, v.twice, v.refused, v.wrong, strings.Join(v.examples, ", "))
}

// compare compares the ledger with what the provider has of the run.
func (l *ledger) compare(has sandbox.LoadStats) verdict {
	v := verdict{fates: l.counts(), twice: has.Duplicates, wrong: has.WrongSum + has.WrongAccount}
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
			v.lost++
			example("lost", n)
		case f == unknown && arrived[n]:
			v.unanswered++
		case f != accepted && arrived[n]:
			v.refused++
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
