package sandbox

import (
	"bytes"
	"slices"
	"sync"
)

// CommandRecord is one command as it came, without secrets.
type CommandRecord struct {
	Connection uint64 `json:"connection"`
	Line       string `json:"line"` // of AUTH only the mechanism
	// Initial says that AUTH came with an initial response.
	Initial bool `json:"initial_response,omitempty"`
}

// commandLog keeps the newest commands.
type commandLog struct {
	limit int

	mu      sync.Mutex // guards records
	records []CommandRecord
}

// record keeps the command if that was asked for.
func (s *Server) record(conn uint64, verb string, line []byte) {
	l := &s.log
	if l.limit <= 0 {
		return
	}
	text, initial := string(line), false
	if verb == "AUTH" {
		text = "AUTH " + mechanismOf(text[len("AUTH"):])
		initial = len(text) < len(bytes.TrimRight(line, " "))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.records) >= 2*l.limit {
		l.records = slices.Delete(l.records, 0, l.limit)
	}
	l.records = append(l.records, CommandRecord{conn, text, initial})
}

// mechanismOf returns the first word.
func mechanismOf(args string) string {
	for i := range args {
		if i > 0 && args[i] == ' ' {
			return args[1:i]
		}
	}
	return args[min(1, len(args)):]
}

// Commands returns the newest commands of all connections in the order in
// which they came, at least Config.Record of them if there were so many.
func (s *Server) Commands() []CommandRecord {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return slices.Clone(s.log.records)
}
