package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// A ledger is the sandbox's account of one run: what it gives at /loads/RUN.
type ledger struct {
	Duplicates    int64    `json:"duplicates"`
	DuplicateOf   []int    `json:"duplicate_of"`
	WrongSum      int64    `json:"wrong_sum"`
	WrongAccount  int64    `json:"wrong_account"`
	NotRemembered int64    `json:"not_remembered"`
	Delivered     []window `json:"delivered"`
}

// A window is the message numbers from First to Last, both included.
type window struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// A delivery is one message as the sandbox lists it at /messages.
type delivery struct {
	ID      uint64 `json:"id"`
	Account string `json:"account"`
	SHA256  string `json:"sha256"`
}

// A provider is the sandbox that the server relays to.
type provider struct {
	base   *url.URL
	client *http.Client
}

// newProvider returns the sandbox at a checked URL.
func newProvider(base *url.URL) *provider {
	return &provider{base, newHTTPClient(5 * time.Minute)}
}

// errNoLedger is returned for a run of which the sandbox has seen nothing.
var errNoLedger = errors.New("nothing there")

// get calls read with the body of the answer to a GET.
func (p *provider) get(path string, read func(io.Reader) error) error {
	at := p.base.JoinPath(path).String()
	resp, err := p.client.Get(at)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		err = errNoLedger
	case resp.StatusCode != http.StatusOK:
		err = errors.New(resp.Status)
	default:
		err = read(resp.Body)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return nil
}

// check asks whether there is a sandbox at all, so that a wrong address is
// found ahead of the run.
func (p *provider) check() error {
	return p.get("loads", func(r io.Reader) error {
		var list []json.RawMessage
		return json.NewDecoder(r).Decode(&list)
	})
}

// ledger returns the account of a run.
func (p *provider) ledger(run string) (*ledger, error) {
	l := &ledger{}
	err := p.get("loads/"+run, func(r io.Reader) error { return json.NewDecoder(r).Decode(l) })
	if errors.Is(err, errNoLedger) {
		return &ledger{}, nil
	}
	return l, err
}

// deliveries calls each with all messages that the sandbox keeps.
func (p *provider) deliveries(each func(delivery)) error {
	return p.get("messages", func(r io.Reader) error {
		dec := json.NewDecoder(r)
		if _, err := dec.Token(); err != nil { // the bracket of the list
			return err
		}
		for dec.More() {
			var d delivery
			if err := dec.Decode(&d); err != nil {
				return err
			}
			each(d)
		}
		return nil
	})
}

// A prover compares the journal of a run with what the sandbox has.
type prover struct {
	run     string
	journal *journal
	mix     *mix
	logins  []string
	proof   report.Proof
}

// maxExamples bounds the faults that are spelled out.
const maxExamples = 10

// example notes one fault in words.
func (p *prover) example(format string, args ...any) {
	if len(p.proof.Examples) < maxExamples {
		p.proof.Examples = append(p.proof.Examples, fmt.Sprintf(format, args...))
	}
}

// prove asks the sandbox and returns the verdict. The hashes are compared if
// that is asked for.
func (p *prover) prove(from *provider, hashes bool) (*report.Proof, error) {
	l, err := from.ledger(p.run)
	if err != nil {
		return nil, err
	}
	p.compare(l)
	p.proof.Checked = "number, account and checksum of every delivered message"
	if hashes {
		if err := p.compareHashes(from); err != nil {
			return nil, err
		}
		p.proof.Checked += "; SHA-256 of every acknowledged one"
	}
	v := &p.proof
	v.Holds = v.Missing+v.Duplicated+v.Altered+v.Misattributed+v.Unacknowledged+l.NotRemembered == 0
	return v, nil
}

// compare compares the journal with the ledger.
func (p *prover) compare(l *ledger) {
	v := &p.proof
	v.Duplicated, v.Altered, v.Misattributed = l.Duplicates, l.WrongSum, l.WrongAccount
	for _, seq := range l.DuplicateOf {
		p.example("message %d was delivered more than once", seq)
	}
	if l.NotRemembered > 0 {
		p.example("the sandbox does not remember the numbers of %d messages", l.NotRemembered)
	}
	delivered := make([]bool, len(p.journal.entries))
	for _, w := range l.Delivered {
		for seq := w.First; seq <= w.Last; seq++ {
			v.Delivered++
			if seq >= len(delivered) {
				v.Unacknowledged++
				p.example("message %d was delivered and never sent", seq)
				continue
			}
			delivered[seq] = true
		}
	}
	for seq, e := range p.journal.entries {
		switch {
		case e.fate == fateAccepted:
			v.Acknowledged++
			if !delivered[seq] {
				v.Missing++
				p.example("message %d of %s was acknowledged and not delivered", seq, p.login(e))
			}
		case !delivered[seq]:
		case e.fate == fateUnknown:
			v.Uncertain++
		default:
			v.Unacknowledged++
			p.example("message %d of %s was delivered and not acknowledged", seq, p.login(e))
		}
	}
}

// login names the account of an entry.
func (p *prover) login(e entry) string {
	if e.account < 0 {
		return "no account"
	}
	return p.logins[e.account]
}

// compareHashes makes the content of every acknowledged message again and
// looks for its hash among the delivered ones.
func (p *prover) compareHashes(from *provider) error {
	type sent struct{ seq, copies int }
	expected := make(map[string]*sent)
	headers := make(map[int32]*header)
	x := newID(p.run)
	var buf []byte
	for seq, e := range p.journal.entries {
		if e.fate != fateAccepted {
			continue
		}
		if headers[e.account] == nil {
			headers[e.account] = newHeader(p.logins[e.account])
		}
		x.set(seq)
		hash := [32]byte{}
		hash, buf = p.mix.pick(seq).hash(headers[e.account], &x, buf)
		expected[hex.EncodeToString(hash[:])] = &sent{seq: seq}
	}
	err := from.deliveries(func(d delivery) {
		s := expected[strings.ToLower(d.SHA256)]
		if s == nil {
			return // of another run, or one counted as altered below
		}
		s.copies++
		if login := p.login(p.journal.entries[s.seq]); !strings.EqualFold(login, d.Account) {
			p.proof.Misattributed++
			p.example("message %d of %s was delivered under %s", s.seq, login, d.Account)
		}
	})
	if err != nil {
		return err
	}
	for _, s := range expected {
		if s.copies == 0 {
			p.proof.Altered++
			p.example("no delivered message has the hash of message %d", s.seq)
		}
	}
	return nil
}
