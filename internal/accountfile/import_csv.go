package accountfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/accountfile/internal/sheet"
	"xoauth2-proxy/internal/keyfile"
)

// Columns of the batch text that a list in CSV may have too; they mean nothing.
var idleColumns = map[string]bool{"timestamp": true, "hostname": true}

// plainColumns are the keys whose values are no strings in JSON.
var plainColumns = map[string]bool{
	"max_concurrent_messages": true, "max_messages_per_hour": true, "max_recipients": true,
	"max_message_size": true, "send_client_secret": true,
}

// readCSV reads a list with a header. A line that cannot be read is wrong by
// itself; a header that names what there is not makes the list wrong.
func readCSV(data []byte) ([]Imported, error) {
	separator, data := sheet.Cut(data)
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma, r.Comment = separator, '#'
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("the header of the list: %w", err)
	}
	for i, column := range header {
		key := sheet.Column(column)
		if k, ok := accountTable.Find(key); !idleColumns[key] && !strings.HasPrefix(key, "_") && (!ok || k.Set == nil || k.Container) {
			return nil, fmt.Errorf("the header of the list: column %d, %q, is no key of an account", i+1, keyfile.Printable(column))
		}
		header[i] = key
	}
	var list []Imported
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		line, _ := position(r, err)
		list = append(list, csvAccount(line, header, record, err))
	}
}

// position returns the line of the last record, or of its fault.
func position(r *csv.Reader, err error) (line, column int) {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return parse.StartLine, parse.Column
	}
	return r.FieldPos(0)
}

func csvAccount(line int, header, record []string, err error) Imported {
	if err != nil {
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			err = parse.Err // without the position, which is known
		}
		return Imported{Line: line, Err: err}
	}
	if len(record) != len(header) {
		return Imported{Line: line, Err: fmt.Errorf("has %d fields, the header %d", len(record), len(header))}
	}
	e := new(Entry)
	for i, field := range record {
		key, field := header[i], strings.TrimSpace(field)
		switch {
		case field == "" || idleColumns[key] || strings.HasPrefix(key, "_"):
		case plainColumns[key] && hujson.Literal(strings.ToLower(field)).IsValid():
			if err := e.SetJSON(key, strings.ToLower(field)); err != nil {
				return Imported{Line: line, Err: err}
			}
		case key == "senders":
			e.SetList(key, strings.Fields(field))
		default:
			e.Set(key, field)
		}
	}
	return Imported{Line: line, Entry: e}
}
