// Package report is the result of a load run: its data, which is also its JSON
// form, and its renderings as text and as a self-contained HTML page.
package report

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
	"time"
)

// Millis is a duration in milliseconds, with microseconds after the point.
type Millis float64

// String gives three significant digits, at most microseconds.
func (m Millis) String() string {
	switch {
	case m >= 100:
		return strconv.FormatFloat(float64(m), 'f', 0, 64)
	case m >= 10:
		return strconv.FormatFloat(float64(m), 'f', 1, 64)
	case m >= 1:
		return strconv.FormatFloat(float64(m), 'f', 2, 64)
	}
	return strconv.FormatFloat(math.Round(float64(m)*1000)/1000, 'f', -1, 64)
}

// A Report is all there is to say about a run.
type Report struct {
	Started time.Time `json:"started"`
	Command string    `json:"command"`
	// Setting says in words what load was put on what.
	Setting []Field `json:"setting"`
	// Elapsed is the time from the first ticket to the last reply, seconds.
	Elapsed float64 `json:"elapsed_seconds"`
	// Interrupted says that the run was ended before its time.
	Interrupted bool `json:"interrupted,omitempty"`
	// Total is the whole run, Phases its parts in order.
	Total  Phase   `json:"total"`
	Phases []Phase `json:"phases"`
	// Setup is the time to open a connection, up to and with AUTH.
	Setup Quantiles `json:"setup"`
	// Connections is how many were opened for messages.
	Connections int64 `json:"connections"`
	// Idle is how many idle connections were asked for, and IdleAlive how
	// many of them the server still answered on at the end.
	Idle      int `json:"idle_connections,omitempty"`
	IdleAlive int `json:"idle_connections_alive,omitempty"`
	// Replies are the replies that decided messages, the most frequent first.
	Replies []Reply `json:"replies"`
	// Resent are the replies after which messages were sent again.
	Resent []Reply `json:"resent,omitempty"`
	// Series is the run over time.
	Series []Point `json:"series"`
	// Server is the process under load; nil: no flag says where it is.
	Server *Process `json:"server,omitempty"`
	// Generator is the load generator itself.
	Generator *Process `json:"generator"`
	// Proof compares with the provider's ledger, nil without a sandbox.
	Proof *Proof `json:"proof,omitempty"`
	// DryRun compares with the proxy's own counts, nil unless it sends nothing.
	DryRun *DryRun `json:"dry_run,omitempty"`
}

// A Field is one line of the setting.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Phase is what was counted of the run or a part of it.
type Phase struct {
	Name string `json:"name"`
	// TargetRate is the messages per second that were to be sent, 0 in a
	// closed loop.
	TargetRate float64 `json:"target_rate,omitempty"`
	// Due is how many messages were to be sent. Each is in exactly one of the
	// five below.
	Due      int64 `json:"due"`
	Accepted int64 `json:"accepted"`
	Refused  int64 `json:"refused"`
	// Broken lost their connection before their end was sent; Unknown lost it
	// between that and the reply, so that their outcome is not known.
	Broken  int64 `json:"broken"`
	Unknown int64 `json:"unknown"`
	Unsent  int64 `json:"unsent"`
	// RefusedRcpts counts recipients refused of accepted messages.
	RefusedRcpts int64 `json:"refused_recipients"`
	// Rate is the accepted messages per second, Octets those of content.
	Rate   float64 `json:"rate"`
	Octets int64   `json:"octets"`
	// Latency of accepted messages counts from when they were due, Service
	// from when their sending began.
	Latency Quantiles `json:"latency_ms"`
	Service Quantiles `json:"service_ms"`
	// Curve is the distribution of Latency.
	Curve []CurvePoint `json:"curve,omitempty"`
}

// Failed is how many messages were due and not accepted.
func (p Phase) Failed() int64 { return p.Refused + p.Broken + p.Unknown + p.Unsent }

// Quantiles of a distribution of times.
type Quantiles struct {
	Count int64  `json:"count"`
	Mean  Millis `json:"mean"`
	P50   Millis `json:"p50"`
	P90   Millis `json:"p90"`
	P95   Millis `json:"p95"`
	P99   Millis `json:"p99"`
	P999  Millis `json:"p99.9"`
	Max   Millis `json:"max"`
}

// A CurvePoint is one point of a distribution.
type CurvePoint struct {
	Percentile float64 `json:"percentile"`
	Latency    Millis  `json:"latency_ms"`
}

// A Reply counts the messages that one kind of reply decided.
type Reply struct {
	Phase string `json:"phase"`
	// Code is 0 where there was no reply but a broken connection.
	Code  int   `json:"code"`
	Count int64 `json:"count"`
	// Sample is the first text seen.
	Sample string `json:"sample"`
}

// A Point is one interval of the run.
type Point struct {
	// At is the end of the interval, Length its length, in seconds.
	At     float64 `json:"at"`
	Length float64 `json:"length"`
	// Rate and FailRate are messages per second.
	Rate     float64 `json:"rate"`
	FailRate float64 `json:"fail_rate"`
	P50      Millis  `json:"p50"`
	P95      Millis  `json:"p95"`
	P99      Millis  `json:"p99"`
	Max      Millis  `json:"max"`
	// CPU is the server's use of processors (1 is one of them), Resident its
	// memory in octets; 0 if unknown.
	CPU      float64 `json:"cpu,omitempty"`
	Resident int64   `json:"resident,omitempty"`
}

// A Process is what a process used for the run.
type Process struct {
	// CPU is user and system time in seconds, CPUPerMessage the same for each
	// accepted message in microseconds, MessagesPerCPUSecond its inverse.
	CPU                  float64 `json:"cpu_seconds"`
	CPUPerMessage        float64 `json:"cpu_us_per_message"`
	MessagesPerCPUSecond float64 `json:"messages_per_cpu_second"`
	// Resident is the memory at the end, PeakResident the most that was seen,
	// in octets.
	Resident     int64 `json:"resident"`
	PeakResident int64 `json:"peak_resident"`
}

// A Proof compares what the server acknowledged with what the provider has.
type Proof struct {
	Holds bool `json:"holds"`
	// Acknowledged is how many messages the server accepted, Delivered how
	// many different messages of the run the provider has.
	Acknowledged int64 `json:"acknowledged"`
	Delivered    int64 `json:"delivered"`
	// Missing were acknowledged and not delivered; Duplicated were delivered
	// more than once.
	Missing    int64 `json:"missing"`
	Duplicated int64 `json:"duplicated"`
	// Altered have another content than was sent; Misattributed came under
	// another account than the one they were handed over under.
	Altered       int64 `json:"altered"`
	Misattributed int64 `json:"misattributed"`
	// Unacknowledged were delivered although the server had refused them or
	// they were never sent to their end; Uncertain were delivered and no reply
	// came: SMTP cannot tell those apart from lost ones.
	Unacknowledged int64 `json:"unacknowledged"`
	Uncertain      int64 `json:"uncertain"`
	// Checked says what was compared.
	Checked string `json:"checked"`
	// Examples are some of the faults, in words.
	Examples []string `json:"examples,omitempty"`
}

// A DryRun compares what a proxy in dry-run mode acknowledged with what it
// counted.
type DryRun struct {
	Holds        bool  `json:"holds"`
	Acknowledged int64 `json:"acknowledged"`
	Counted      int64 `json:"counted"`   // as dry runs
	Delivered    int64 `json:"delivered"` // to a provider
}

// WriteJSON writes the report as JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Read reads a report in JSON.
func Read(rd io.Reader) (*Report, error) {
	r := new(Report)
	if err := json.NewDecoder(rd).Decode(r); err != nil {
		return nil, err
	}
	return r, nil
}
