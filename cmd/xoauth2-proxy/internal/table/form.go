package table

import (
	"encoding/csv"
	"encoding/json"
	"io"
)

// Form is the format of a list; at most one of the flags is given.
type Form struct {
	JSON bool `name:"json" help:"As JSON." xor:"form"`
	CSV  bool `name:"csv" help:"As CSV with a header." xor:"form"`
}

// Write shows rows under a header, or value as JSON.
func (f Form) Write(w io.Writer, header []string, rows [][]string, value any) error {
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
	return Write(w, Columns(w), header, rows)
}
