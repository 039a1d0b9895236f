package upgrade

import (
	"bufio"
	"io"
	"regexp"
	"strings"
	"sync"
)

const (
	// tailLines and tailWidth bound what is kept of standard error, in lines and octets.
	tailLines = 10
	tailWidth = 400
)

// tail copies the standard error of a new process, and keeps its last lines.
type tail struct {
	mu    sync.Mutex
	lines []string // of the log, that tell of nothing wrong
	grave []string // all others
	ended chan struct{}
}

// newTail copies from to to until from ends, and then closes it.
func newTail(from io.ReadCloser, to io.Writer) *tail {
	t := &tail{ended: make(chan struct{})}
	go func() {
		defer close(t.ended)
		defer from.Close()
		lines := bufio.NewReader(from)
		for {
			line, err := lines.ReadString('\n')
			if line != "" {
				_, _ = io.WriteString(to, line) // there is no other place for it
				t.keep(strings.TrimRight(line, "\r\n"))
			}
			if err != nil {
				return
			}
		}
	}()
	return t
}

func (t *tail) keep(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	line = priority.ReplaceAllString(line, "")
	t.mu.Lock()
	defer t.mu.Unlock()
	to := &t.grave
	if ordinary.MatchString(line) {
		to = &t.lines
	}
	*to = append(*to, line[:min(len(line), tailWidth)])
	*to = (*to)[max(0, len(*to)-tailLines):]
}

var (
	// priority is how a line for the journal begins.
	priority = regexp.MustCompile(`^<\d>`)
	// ordinary is a line of the log that tells of nothing wrong.
	ordinary = regexp.MustCompile(`"level":"(info|debug)"|\t(info|debug)\t`)
)

// text returns the last lines that tell of something wrong, and if there are none, the last
// ones of the log.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.grave) > 0 {
		return strings.Join(t.grave, "\n")
	}
	return strings.Join(t.lines, "\n")
}
