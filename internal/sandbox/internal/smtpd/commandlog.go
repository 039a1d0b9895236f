package smtpd

import (
	"slices"
	"strings"
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

// record keeps the command if there is a limit. args are those in line.
func (l *commandLog) record(conn uint64, verb string, args, line []byte) {
	if l.limit <= 0 {
		return
	}
	r := CommandRecord{Connection: conn, Line: string(line)}
	if verb == "AUTH" {
		mechanism, initial, _ := strings.Cut(string(args), " ")
		r.Line, r.Initial = "AUTH "+mechanism, strings.TrimRight(initial, " ") != ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.records) >= 2*l.limit {
		l.records = slices.Delete(l.records, 0, l.limit)
	}
	l.records = append(l.records, r)
}

// Commands returns the newest commands of all connections in the order in which
// they came, at least Config.Record of them if there were so many.
func (s *Server) Commands() []CommandRecord {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return slices.Clone(s.log.records)
}
