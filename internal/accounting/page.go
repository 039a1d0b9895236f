package accounting

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Layout of the state file: two numbers, and then lines of text.
const (
	pageSize    = 4096
	pageGiven   = 0 // the highest number that was given
	pageWritten = 8 // the highest number up to which all is in the files
	pageText    = 16
	pageMagic   = "xoauth2-proxy accounting 1"
)

// page is the state file, as shared memory: what is stored outlives the process at once.
// The methods of a nil page do nothing. Log.mu guards it.
type page struct {
	b    []byte
	torn bool // a store failed: the file was cut, or its disk failed
}

// openPage makes the state file of a process. It may be there, of a process before.
func openPage(path, process string) (*page, error) {
	file, err := openRegular(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b := make([]byte, pageSize) // written whole: a hole could find no room later
	copy(b[pageText:], pageMagic+"\n"+process+"\n"+bootID()+"\n")
	if _, err := file.WriteAt(b, 0); err != nil {
		return nil, err
	}
	p := new(page)
	p.b, err = unix.Mmap(int(file.Fd()), 0, pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", path, err)
	}
	return p, nil
}

// store stores the highest number that was given.
func (p *page) store(n uint64) { p.put(pageGiven, n) }

// put stores a number. A page that is not there any more is a fault of memory, which must
// not end the process.
func (p *page) put(at int, n uint64) {
	if p == nil || p.torn {
		return
	}
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if recover() != nil {
			p.torn = true
		}
	}()
	binary.NativeEndian.PutUint64(p.b[at:], n)
}

func (p *page) close() {
	if p != nil {
		_ = unix.Munmap(p.b)
		p.torn = true
	}
}

// saved is what the state file of a process before says.
type saved struct {
	process        string
	sameBoot       bool
	given, written uint64
}

// readPage reads the state file of a process before. ok is false if there is none.
func readPage(path string) (s saved, ok bool) {
	file, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return s, false
	}
	defer file.Close()
	b := make([]byte, pageSize)
	if _, err := io.ReadFull(file, b); err != nil {
		return s, false
	}
	lines := bytes.SplitN(b[pageText:], []byte("\n"), 4)
	if len(lines) < 4 || string(lines[0]) != pageMagic {
		return s, false
	}
	boot := bootID()
	return saved{process: string(lines[1]), sameBoot: boot != "" && string(lines[2]) == boot,
		given: binary.NativeEndian.Uint64(b[pageGiven:]), written: binary.NativeEndian.Uint64(b[pageWritten:])}, true
}

// bootID identifies the time since the host was started; "" if it is not known.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
