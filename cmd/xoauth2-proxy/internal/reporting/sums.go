package reporting

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"xoauth2-proxy/internal/accounting/report"
)

// counts are the columns after the keys.
var counts = []struct {
	name string
	of   func(*report.Group) uint64
}{
	{"delivered", func(g *report.Group) uint64 { return g.Delivered }},
	{"refused", func(g *report.Group) uint64 { return g.Refused }},
	{"deferred", func(g *report.Group) uint64 { return g.Deferred }},
	{"recipients", (*report.Group).Recipients},
	{"messages", func(g *report.Group) uint64 { return g.Messages }},
	{"octets", func(g *report.Group) uint64 { return g.Octets }},
	{"maybe_accepted", func(g *report.Group) uint64 { return g.MaybeAccepted }},
	{"late", func(g *report.Group) uint64 { return g.Late }},
}

// percentiles are shown of each time.
var percentiles = []uint64{50, 95}

// sums shows the groups, and what is missing.
func (r *run) sums() error {
	groups := r.tally.Groups()
	header := append([]string(nil), r.By...)
	for _, c := range counts {
		header = append(header, c.name)
	}
	if r.Phases {
		for _, name := range report.TimeNames {
			for _, p := range percentiles {
				header = append(header, fmt.Sprintf("%s_p%d_ms", name, p))
			}
		}
	}
	var rows [][]string
	objects := []map[string]any{}
	for _, g := range groups {
		rows = append(rows, r.row(g))
		objects = append(objects, r.object(g))
	}
	if r.JSON {
		return r.Write(r.out, nil, nil, map[string]any{"groups": objects, "total": r.object(&r.tally.Total), "files": r.files,
			"lines_damaged": r.damaged, "records_repeated": r.tally.Again, "records_unnumbered": r.tally.Unnumbered,
			"records_not_compared": r.tally.Untold, "groups_too_many": r.tally.Others, "processes": r.tally.Processes()})
	}
	if !r.CSV {
		total := r.row(&r.tally.Total)
		total[0] = "total"
		rows = append(rows, total)
	}
	if err := r.Write(r.out, header, rows, nil); err != nil {
		return err
	}
	if r.CSV {
		r.notes(r.log)
		return nil
	}
	fmt.Fprintln(r.out)
	r.notes(r.out)
	return nil
}

func (r *run) row(g *report.Group) []string {
	row := make([]string, len(r.By), len(r.By)+len(counts)+2*len(report.TimeNames))
	copy(row, g.Values)
	for _, c := range counts {
		row = append(row, strconv.FormatUint(c.of(g), 10))
	}
	if r.Phases {
		for i := range report.TimeNames {
			for _, p := range percentiles {
				row = append(row, millis(g.Percentile(i, p)))
			}
		}
	}
	return row
}

func (r *run) object(g *report.Group) map[string]any {
	o := map[string]any{}
	for i, value := range g.Values {
		o[r.By[i]] = value
	}
	for _, c := range counts {
		o[c.name] = c.of(g)
	}
	if r.Phases {
		for i, name := range report.TimeNames {
			for _, p := range percentiles {
				o[fmt.Sprintf("%s_p%d_ms", name, p)] = json.Number(millis(g.Percentile(i, p)))
			}
		}
	}
	return o
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64)
}
