package accounting

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// previous is the process that wrote the log before.
type previous struct {
	process string
	last    uint64 // the highest number in the files
	missing uint64 // records that have a number and are not in the files
	known   bool   // missing is known
}

func (p previous) about() about {
	return about{process: p.process, last: p.last, count: p.missing, unknown: !p.known}
}

// before finds out what the process before has left, from its state file and from the ends
// of the files.
func (w *writer) before(statePath string) previous {
	var found tail
	for _, f := range w.files {
		if t := f.tail(); t.process > found.process || t.process == found.process && t.last > found.last {
			found = t
		}
	}
	if slices.Contains(left(w.cfg.Directory), found.process) { // its own files tell
		found = tail{}
	}
	state, ok := readPage(statePath)
	if !ok || state.process < found.process { // the state file is gone, or an old one
		return previous{process: found.process, last: found.last, known: found.process == "" || found.ended}
	}
	p := previous{process: state.process, last: state.written, known: state.sameBoot}
	if found.process == state.process {
		p.last = max(p.last, found.last)
		p.known = p.known || found.ended
	}
	if p.known && state.given > p.last {
		p.missing = state.given - p.last
	}
	return p
}

// tail is what the end of a file says.
type tail struct {
	process string
	last    uint64
	ended   bool // by an end record
}

// maxTail bounds what is read of the end of a file, in octets.
const maxTail = 1 << 20

// tail returns what the end of the file says, or of the newest of those that it was
// renamed to, also compressed ones.
func (f *file) tail() (t tail) {
	ext := filepath.Ext(f.path)
	rotated, _ := filepath.Glob(escapeGlob(strings.TrimSuffix(f.path, ext)) + "-*" + escapeGlob(ext) + "*")
	slices.Sort(rotated)
	slices.Reverse(rotated)
	for _, path := range append([]string{f.path}, rotated...) {
		if t = tailOf(path, f.enc.json); t.process != "" {
			return t
		}
	}
	return tail{}
}

var escapeGlob = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace

// tailOf reads the end of one file. It returns nothing of a file without records.
func tailOf(path string, isJSON bool) (t tail) {
	file, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return tail{}
	}
	defer file.Close()
	first, end := readEnd(file, filepath.Ext(path))
	header := strings.Split(string(first), ",")
	lines := bytes.Split(end, []byte("\n"))
	for _, line := range slices.Backward(lines[:len(lines)-1]) { // the last one is not whole
		var l line1
		if isJSON {
			_ = json.Unmarshal(line, &l)
		} else {
			l = lineOf(header, line)
		}
		switch {
		case l.Process == "":
			continue
		case t.process == "":
			t.process = l.Process
		case t.process != l.Process:
			return t
		}
		t.ended = t.ended || l.Type == kindEnd.String()
		if l.Type == kindStart.String() {
			return t
		}
		if t.last = max(t.last, l.Sequence, l.LastSequence); t.last > 0 {
			return t
		}
	}
	return t
}

// line1 is what counts of a line.
type line1 struct {
	Type, Process          string
	Sequence, LastSequence uint64
}

// lineOf reads a line of CSV.
func lineOf(header []string, line []byte) (l line1) {
	values, err := csv.NewReader(bytes.NewReader(line)).Read()
	if err != nil || len(values) != len(header) {
		return l
	}
	for i, name := range header {
		switch name {
		case "type":
			l.Type = values[i]
		case "process":
			l.Process = values[i]
		case "sequence":
			l.Sequence, _ = strconv.ParseUint(values[i], 10, 64)
		case "lastSequence":
			l.LastSequence, _ = strconv.ParseUint(values[i], 10, 64)
		}
	}
	return l
}

// readEnd returns the first line of a file, and its end.
func readEnd(file *os.File, ext string) (first, end []byte) {
	var r io.Reader = file
	switch ext {
	case ".gz":
		z, err := gzip.NewReader(file)
		if err != nil {
			return nil, nil
		}
		r = z
	case ".zst":
		z, err := zstd.NewReader(file)
		if err != nil {
			return nil, nil
		}
		defer z.Close()
		r = z
	default:
		first, _ = bufio.NewReader(file).ReadBytes('\n')
		if info, err := file.Stat(); err == nil {
			_, _ = file.Seek(max(0, info.Size()-maxTail), io.SeekStart)
		}
		end, _ = io.ReadAll(io.LimitReader(file, maxTail))
		return bytes.TrimSuffix(first, []byte("\n")), end
	}
	b := bufio.NewReader(r)
	first, _ = b.ReadBytes('\n')
	part := make([]byte, maxTail)
	for {
		n, err := io.ReadFull(b, part)
		end = append(end, part[:n]...)
		end = end[max(0, len(end)-maxTail):]
		if err != nil {
			return bytes.TrimSuffix(first, []byte("\n")), end
		}
	}
}
