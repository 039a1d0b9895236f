package accounting

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"xoauth2-proxy/internal/accounting/reading"
	"xoauth2-proxy/internal/accounting/report"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/perf/lab"
)

// outcome is what became of a recipient, as a client was told or as a record says. 0: nothing.
type outcome byte

// The outcomes are the types of records. Of an untold one the client lost its connection.
const (
	delivered outcome = 'd'
	refused   outcome = 'b'
	deferred  outcome = 't'
	untold    outcome = '?'
)

// ofEnvelope is the place of an envelope that is refused at MAIL, after its recipients.
const ofEnvelope = mostRecipients

// outcomes are those of a message: of its recipients, and of the envelope.
type outcomes [mostRecipients + 1]outcome

// ledger has what the clients were told.
type ledger struct {
	mu       sync.Mutex // guards what follows
	accounts []int16
	fates    []outcomes
}

func newLedger(messages int) *ledger {
	return &ledger{accounts: make([]int16, messages), fates: make([]outcomes, messages)}
}

// begin notes the account of message n.
func (l *ledger) begin(n, account int) {
	l.mu.Lock()
	l.accounts[n] = int16(account)
	l.mu.Unlock()
}

// told notes the reply about recipient i of message n; nil: it is delivered.
func (l *ledger) told(n, i int, err error) {
	o := delivered
	if refusal, ok := errors.AsType[lab.Refusal](err); ok {
		if o = deferred; refusal[0] == '5' {
			o = refused
		}
	} else if err != nil {
		o = untold
	}
	l.mu.Lock()
	l.fates[n][i] = o
	l.mu.Unlock()
}

// sums are recipients of an account by outcome.
type sums struct{ delivered, refused, deferred int }

func (s *sums) add(o outcome) {
	switch o {
	case delivered:
		s.delivered++
	case refused:
		s.refused++
	case deferred:
		s.deferred++
	}
}

// verdict is what a comparison found.
type verdict struct {
	told, logged   sums // of all accounts
	records        uint64
	absent, untold int // outcomes that the log lacks, or the client
	lost, dropped  uint64
	provider       int64 // messages that it has
	maybe          int   // of them, the log says that it may have them

	wrong    []string // examples
	failures int
}

func (v *verdict) fail(format string, args ...any) {
	const mostExamples = 10
	if v.failures++; len(v.wrong) < mostExamples {
		v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
	}
}

// logged is what the log says of a message.
type logged struct {
	outcomes
	maybe bool
}

// compare compares the ledger with the log in the files, and with what the provider has.
func (l *ledger) compare(has sandbox.LoadStats, files string) *verdict {
	v := &verdict{provider: has.Distinct}
	sum := lab.Must(report.New(report.Config{By: []string{"email"}}))
	log := make([]logged, len(l.fates))
	r := reading.Reader{
		Record: func(w *reading.Row) {
			if sum.Add(w) {
				v.note(log, w)
			}
		},
		Damaged: func(at reading.Place, err error) { v.fail("%v: %v", at, err) },
	}
	for _, f := range lab.Must(reading.Files([]string{files})) {
		lab.Check(r.File(f))
	}
	v.processes(sum)
	absent := l.recipients(v, log)
	l.byAccount(v, sum, absent)
	l.provider(v, log, has)
	return v
}

// note enters a record.
func (v *verdict) note(log []logged, w *reading.Row) {
	number, err := strconv.Atoi(strings.TrimSuffix(w.Get(reading.Orig), "@sender.test"))
	i := ofEnvelope
	if rcpt := w.Get(reading.Rcpt); rcpt != "" && err == nil {
		i, err = strconv.Atoi(strings.TrimSuffix(rcpt, "@recipient.test"))
	}
	switch {
	case err != nil || number >= len(log) || i > ofEnvelope:
		v.fail("%v: of none of the messages", w.Place)
	case log[number].outcomes[i] != 0:
		v.fail("%v: message %d has two records of recipient %d", w.Place, number, i)
	default:
		log[number].outcomes[i] = outcome(w.Get(reading.Type)[0])
		log[number].maybe = log[number].maybe || w.Get(reading.MaybeAccepted) == "true"
	}
}

// processes takes what the log says about itself.
func (v *verdict) processes(sum *report.Tally) {
	for _, p := range sum.Processes() {
		v.records += p.Records
		v.lost, v.dropped = v.lost+p.Lost, v.dropped+p.Dropped
		if p.Gaps > 0 || p.LostUnknown || p.State == "open" {
			v.fail("process %s: %+v", p.Process, p)
		}
	}
	if sum.Again+sum.Unnumbered+sum.Untold > 0 {
		v.fail("%d records come again, %d have no number, %d were not compared", sum.Again, sum.Unnumbered, sum.Untold)
	}
}

// recipients compares outcome by outcome. It returns those that the log lacks, by account.
func (l *ledger) recipients(v *verdict, log []logged) (absent map[int16]sums) {
	absent = map[int16]sums{}
	for n := range l.fates {
		for i, told := range l.fates[n] {
			says := log[n].outcomes[i]
			v.told.add(told)
			v.logged.add(says)
			switch {
			case told == says:
			case told == untold:
				v.untold++
			case says == 0:
				v.absent++
				s := absent[l.accounts[n]]
				s.add(told)
				absent[l.accounts[n]] = s
			default:
				v.fail("message %d, recipient %d: the client was told %q, the log says %q", n, i, told, says)
			}
		}
	}
	if said := v.lost + v.dropped; v.untold == 0 && uint64(v.absent) != said || uint64(v.absent) > said || said > uint64(v.absent+v.untold) {
		v.fail("%d outcomes are not in the log, and it says that %d are lost and %d dropped", v.absent, v.lost, v.dropped)
	}
	return absent
}

// byAccount compares the sums that report makes with what the clients of an account were told.
func (l *ledger) byAccount(v *verdict, sum *report.Tally, absent map[int16]sums) {
	told := map[string]sums{}
	for n := range l.fates {
		s := told[lab.Login(int(l.accounts[n]))]
		for _, o := range l.fates[n] {
			s.add(o)
		}
		told[lab.Login(int(l.accounts[n]))] = s
	}
	for account, a := range absent {
		s := told[lab.Login(int(account))]
		told[lab.Login(int(account))] = sums{s.delivered - a.delivered, s.refused - a.refused, s.deferred - a.deferred}
	}
	for _, g := range sum.Groups() {
		if is, want := (sums{int(g.Delivered), int(g.Refused), int(g.Deferred)}), told[g.Values[0]]; v.untold == 0 && is != want {
			v.fail("%s: the log has %+v, the clients %+v", g.Values[0], is, want)
		}
		delete(told, g.Values[0])
	}
	for account, s := range told {
		if s != (sums{}) {
			v.fail("%s: the log has nothing, the clients %+v", account, s)
		}
	}
}

// provider compares the messages that the log and the clients call delivered with those that the
// provider has.
func (l *ledger) provider(v *verdict, log []logged, has sandbox.LoadStats) {
	there := make([]bool, len(log))
	for _, window := range has.DeliveredRanges {
		for n := window.First; n <= window.Last && n < uint64(len(there)); n++ {
			there[n] = true
		}
	}
	for n := range log {
		says, unclear := false, false
		for i, o := range log[n].outcomes {
			says = says || o == delivered || l.fates[n][i] == delivered && o == 0
			unclear = unclear || l.fates[n][i] != 0 && o == 0 // the record is lost
		}
		switch {
		case says == there[n]:
		case says:
			v.fail("message %d is delivered, and the provider does not have it", n)
		case log[n].maybe:
			v.maybe++
		case !unclear:
			v.fail("the provider has message %d, and the log does not know", n)
		}
	}
	if has.Duplicates+has.WrongSum+has.WrongAccount+has.NotRemembered > 0 {
		v.fail("the provider has %d messages twice, %d damaged, %d under another account", has.Duplicates, has.WrongSum, has.WrongAccount)
	}
}

// row is a line of the table.
type row struct {
	what  string
	count any
}

func (v *verdict) rows() []row {
	return []row{
		{"recipients delivered, as the clients were told", v.told.delivered}, {"as the log says", v.logged.delivered},
		{"recipients refused, as the clients were told", v.told.refused}, {"as the log says", v.logged.refused},
		{"recipients deferred, as the clients were told", v.told.deferred}, {"as the log says", v.logged.deferred},
		{"outcomes that a client was not told", v.untold},
		{"outcomes that are not in the log", v.absent}, {"records lost, as the log says", v.lost}, {"records dropped, as the log says", v.dropped},
		{"records", v.records}, {"messages that the provider has", v.provider},
		{"of them, the log says that it may have them", v.maybe}, {"disagreements", v.failures},
	}
}

// failure is what is wrong; nil: nothing.
func (v *verdict) failure(of string) error {
	if v.failures == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d disagreements: %s", of, v.failures, strings.Join(v.wrong, "; "))
}
