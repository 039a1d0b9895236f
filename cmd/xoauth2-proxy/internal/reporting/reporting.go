// Package reporting is the command report: it reads accounting logs, and shows what they sum up
// to, what is missing in them, and the records about one message, person or session.
package reporting

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/accounting/reading"
	"xoauth2-proxy/internal/accounting/report"
	"xoauth2-proxy/internal/oneline"
)

// Options are the flags of the command.
type Options struct {
	table.Form
	Files      []string `arg:"" help:"Files, directories or patterns; - is standard input. CSV or lines of JSON, also compressed by gzip or zstd."`
	By         []string `help:"What the groups have in common: account, class, day, email, hint, hour, provider or tenant, with commas between them. Hours and days are in UTC." default:"provider,class" placeholder:"KEYS"`
	Phases     bool     `help:"Show the times too, in milliseconds: the median and the 95th percentile of the wait for a connection, of sending, of the provider's answer and of all together." xor:"times"`
	From       string   `help:"Records from this time on: 2026-11-30, 2026-11-30T17:00, RFC 3339, or 90m for the last 90 minutes; UTC." placeholder:"TIME"`
	To         string   `help:"Records before this time." placeholder:"TIME"`
	Find       string   `help:"Show each record about this Message-ID, recipient, sender, ENVID or session in place of sums; exit code 1 if there is none. The part of an address before the @ must have the same case." placeholder:"TEXT" xor:"times"`
	IgnoreCase bool     `short:"i" help:"Find it in any case."`
}

// Errors of Run.
var (
	// ErrUsage: the options are wrong.
	ErrUsage = errors.New("wrong options")
	// ErrNone: nothing was found.
	ErrNone = errors.New("no record is about")
	// ErrUnread: a file or the rest of one could not be read. What could be read was shown.
	ErrUnread = errors.New("not everything could be read")
)

// run is one run of the command.
type run struct {
	*Options
	out, log io.Writer
	tally    *report.Tally
	find     report.Query
	found    findings

	files, damaged int
	unread         error // files
	failed         error // to write
}

// Run runs the command: what is asked for goes to out, what is wrong with the files to log.
// Errors: those of this package, and those of out.
func (o *Options) Run(out, log io.Writer) error {
	now := time.Now()
	from, err := moment(o.From, now)
	to, wrong := moment(o.To, now)
	r := &run{Options: o, out: out, log: log, find: report.NewQuery(o.Find, o.IgnoreCase)}
	if err = errors.Join(err, wrong); err == nil {
		r.tally, err = report.New(report.Config{By: o.By, From: from, To: to, Phases: o.Phases})
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	files, err := reading.Files(o.Files)
	r.notRead(err)
	r.found = findings{form: o.Form, out: out}
	reader := reading.Reader{Record: r.record, Damaged: r.isDamaged}
	for _, f := range files {
		r.file(&reader, f)
	}
	if o.Find != "" {
		err = r.found.end()
		r.notes(log)
		if err == nil && r.found.count == 0 {
			err = fmt.Errorf("%w %q", ErrNone, o.Find)
		}
	} else {
		err = r.sums()
	}
	if r.failed != nil {
		err = r.failed
	}
	if err == nil && r.unread != nil {
		err = ErrUnread
	}
	return err
}

// file reads a file.
func (r *run) file(reader *reading.Reader, f reading.File) {
	switch err := reader.File(f); {
	case errors.Is(err, reading.ErrForeign), errors.Is(err, reading.ErrAgain):
		fmt.Fprintf(r.log, "passed over: %v\n", err)
	default:
		r.files++
		r.notRead(err)
	}
}

func (r *run) notRead(err error) {
	if err != nil {
		fmt.Fprintln(r.log, oneline.Text(strings.ReplaceAll(err.Error(), "\n", "; "), ' '))
		r.unread = errors.Join(r.unread, err)
	}
}

// record takes a record.
func (r *run) record(w *reading.Row) {
	if !r.tally.Add(w) || r.Find == "" || r.failed != nil || !r.find.Matches(w) {
		return
	}
	r.failed = r.found.show(w)
}

// maxNamed bounds the damaged lines that are named.
const maxNamed = 20

func (r *run) isDamaged(at reading.Place, err error) {
	switch r.damaged++; {
	case r.damaged <= maxNamed:
		fmt.Fprintf(r.log, "%s: no record: %s\n", at, oneline.Text(err.Error(), ' '))
	case r.damaged == maxNamed+1:
		fmt.Fprintln(r.log, "further lines that are no record are only counted")
	}
}

// moment reads a time: one of RFC 3339, parts of it in UTC, or how long ago it is. Zero for "".
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 2026-11-30, 2026-11-30T17:00 or 90m", text)
}
