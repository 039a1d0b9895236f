package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the report for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, f := range r.Setting {
		fmt.Fprintf(&b, "%-12s %s\n", f.Name, f.Value)
	}
	fmt.Fprintf(&b, "%-12s %.2f s", "elapsed", r.Elapsed)
	if r.Interrupted {
		b.WriteString(", interrupted")
	}
	b.WriteString("\n\n")
	r.textPhases(&b)
	r.textReplies(&b)
	r.textConnections(&b)
	r.textProcess(&b, "server", r.Server)
	r.textProcess(&b, "generator", r.Generator)
	if r.Proof != nil {
		b.WriteString("\n" + r.Proof.text())
	}
	if r.DryRun != nil {
		b.WriteString("\n" + r.DryRun.text())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// textPhases writes the table of phases, the whole run last.
func (r *Report) textPhases(b *strings.Builder) {
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "phase\tdue\taccepted\tfailed\tmsg/s\tMB/s\tP50\tP90\tP95\tP99\tP99.9\tmax ms\t")
	for _, p := range r.rows() {
		q := p.Latency
		octetsPerMessage := float64(p.Octets) / float64(max(p.Accepted, 1))
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%.0f\t%.1f\t%v\t%v\t%v\t%v\t%v\t%v\t\n", p.Name, p.Due, p.Accepted, p.Failed(),
			p.Rate, p.Rate*octetsPerMessage/1e6, q.P50, q.P90, q.P95, q.P99, q.P999, q.Max)
	}
	tw.Flush()
	if t := r.Total; t.Failed() > 0 {
		fmt.Fprintf(b, "not accepted: %d refused, %d cut off, %d without a final reply, %d not sent in time\n",
			t.Refused, t.Broken, t.Unknown, t.Unsent)
	}
	if n := r.Total.RefusedRcpts; n > 0 {
		fmt.Fprintf(b, "recipients refused of accepted messages: %d\n", n)
	}
	if s := r.Total.Service; s.Count > 0 && r.Total.TargetRate > 0 {
		fmt.Fprintf(b, "from the start of sending: P50 %v, P95 %v, P99 %v ms\n", s.P50, s.P95, s.P99)
	}
}

// rows returns the lines of the table of phases.
func (r *Report) rows() []Phase {
	if len(r.Phases) < 2 {
		return []Phase{r.Total}
	}
	return append(append([]Phase(nil), r.Phases...), r.Total)
}

// textReplies writes the replies by code.
func (r *Report) textReplies(b *strings.Builder) {
	list := func(title string, replies []Reply) {
		fmt.Fprintf(b, "\n%s\n", title)
		for _, reply := range replies {
			fmt.Fprintf(b, "%10d  %s to %s: %s\n", reply.Count, reply.codeText(), reply.Phase, reply.Sample)
		}
	}
	list("replies", r.Replies)
	if len(r.Resent) > 0 {
		list("sent again after", r.Resent)
	}
}

// codeText names a reply by its code.
func (r Reply) codeText() string {
	if r.Code == 0 {
		return "none"
	}
	return fmt.Sprint(r.Code)
}

// textConnections writes what there is to say of the connections.
func (r *Report) textConnections(b *strings.Builder) {
	fmt.Fprintf(b, "\nconnections: %d opened; to open one P50 %v, P95 %v, max %v ms\n",
		r.Connections, r.Setup.P50, r.Setup.P95, r.Setup.Max)
	if r.Idle > 0 {
		fmt.Fprintf(b, "idle connections: %d, at the end %d of them answered\n", r.Idle, r.IdleAlive)
	}
}

// textProcess writes what a process used.
func (r *Report) textProcess(b *strings.Builder, name string, p *Process) {
	if p == nil {
		return
	}
	fmt.Fprintf(b, "%s: %.2f s CPU, %.1f us a message (%.0f messages a CPU second), resident %.1f MB, at most %.1f MB\n",
		name, p.CPU, p.CPUPerMessage, p.MessagesPerCPUSecond, float64(p.Resident)/1e6, float64(p.PeakResident)/1e6)
}

// verdict says whether something holds.
func verdict(holds bool) string {
	if holds {
		return "holds"
	}
	return "FAILS"
}

// text renders the counts of a dry run.
func (d *DryRun) text() string {
	return fmt.Sprintf("dry run %s: %d acknowledged, %d counted as dry runs by the proxy, %d delivered to a provider\n",
		verdict(d.Holds), d.Acknowledged, d.Counted, d.Delivered)
}

// text renders the proof.
func (p *Proof) text() string {
	s := fmt.Sprintf("proof %s: %d acknowledged, %d delivered; %d missing, %d duplicated, %d altered, %d under another account, "+
		"%d delivered though not acknowledged\nchecked: %s\n", verdict(p.Holds),
		p.Acknowledged, p.Delivered, p.Missing, p.Duplicated, p.Altered, p.Misattributed, p.Unacknowledged, p.Checked)
	if p.Uncertain > 0 {
		s += fmt.Sprintf("%d were delivered without a reply having come back: SMTP cannot tell\n", p.Uncertain)
	}
	for _, e := range p.Examples {
		s += "  " + e + "\n"
	}
	return s
}
