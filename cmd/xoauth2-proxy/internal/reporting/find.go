package reporting

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/accounting/reading"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/internal/oneline"
)

// findings writes the records that were found, one after the other.
type findings struct {
	form  table.Form
	out   io.Writer
	count int
}

// became says what a type means.
var became = map[string]string{"d": "delivered", "b": "refused", "t": "deferred"}

// pair is a field of a record.
type pair struct{ name, value string }

// pairs returns the fields of a record that are not empty, and what its hint says.
func pairs(w *reading.Row) (list []pair) {
	list = append(list, pair{"file", w.File}, pair{"line", strconv.Itoa(w.Line)}, pair{"became", became[w.Get(reading.Type)]})
	for i, value := range w.Values {
		if value != "" {
			list = append(list, pair{w.Names[i], value})
		}
	}
	if id, ok := hint.Parse(w.Get(reading.Hint)); ok {
		for _, p := range []pair{{"cause", id.Cause()}, {"remedy", id.Remedy()}, {"how", id.How()}} {
			if p.value != "" {
				list = append(list, p)
			}
		}
	}
	return list
}

// show writes a record.
func (f *findings) show(w *reading.Row) error {
	f.count++
	list := pairs(w)
	switch {
	case f.form.JSON:
		return f.object(list)
	case f.form.CSV:
		return f.line(list)
	}
	if f.count > 1 {
		fmt.Fprintln(f.out)
	}
	rows := make([][]string, len(list))
	for i, p := range list {
		rows[i] = []string{p.name, p.value}
	}
	return table.Write(f.out, table.Columns(f.out), rows[0], rows[1:])
}

// end writes what comes after the last record.
func (f *findings) end() (err error) {
	switch {
	case f.form.JSON && f.count == 0:
		_, err = fmt.Fprintln(f.out, "[]")
	case f.form.JSON:
		_, err = fmt.Fprintln(f.out, "\n]")
	case f.form.CSV && f.count == 0:
		err = f.header()
	}
	return err
}

// object writes a record as an element of a list in JSON, in the order of its fields.
func (f *findings) object(list []pair) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	b.WriteString(",\n  {")
	for i, p := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		_ = enc.Encode(p.name) // a string has no error
		b.Truncate(b.Len() - 1)
		b.WriteString(": ")
		_ = enc.Encode(p.value)
		b.Truncate(b.Len() - 1)
	}
	b.WriteByte('}')
	if f.count == 1 {
		b.Bytes()[0] = '['
	}
	_, err := f.out.Write(b.Bytes())
	return err
}

// columns are those of CSV: all fields, whatever a file has.
var columns = func() (names []string) {
	names = []string{"file", "line", "became"}
	for _, field := range accounting.Fields() {
		names = append(names, field.Name)
	}
	return append(names, "cause", "remedy", "how")
}()

func (f *findings) header() error {
	out := csv.NewWriter(f.out)
	return out.WriteAll([][]string{columns})
}

// line writes a record as CSV.
func (f *findings) line(list []pair) error {
	if f.count == 1 {
		if err := f.header(); err != nil {
			return err
		}
	}
	row := make([]string, len(columns))
	for _, p := range list {
		for i, name := range columns {
			if name == p.name {
				row[i] = oneline.Text(p.value, ' ')
			}
		}
	}
	return csv.NewWriter(f.out).WriteAll([][]string{row})
}
