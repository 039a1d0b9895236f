package main

import (
	"encoding/csv"
	"encoding/json"
	"io"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/oneline"
)

// form is the format of a list; at most one of the flags is given.
type form struct {
	JSON bool `name:"json" help:"As JSON." xor:"form"`
	CSV  bool `name:"csv" help:"As CSV with a header." xor:"form"`
}

// write shows rows under a header, or value as JSON.
func (f form) write(w io.Writer, header []string, rows [][]string, value any) error {
	switch {
	case f.JSON:
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(value)
	case f.CSV:
		out := csv.NewWriter(w)
		if err := out.Write(header); err != nil {
			return err
		}
		return out.WriteAll(rows)
	}
	return table.Write(w, table.Columns(w), header, rows)
}

// oneLine replaces control characters, which could upset a terminal.
func oneLine(s string) string { return oneline.Text(s, ' ') }
