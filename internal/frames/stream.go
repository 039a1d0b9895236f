package frames

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	headerSize = 16
	// maxText bounds a frame, and maxQueued what waits to be sent; in octets.
	maxText, maxQueued = 64 << 20, 128 << 20
	// maxFiles is how many descriptors a frame may have; the system allows 253 at once.
	maxFiles = 200

	flagAnswer, flagFailed = 1, 2
)

// header is the beginning of a frame.
type header struct {
	size   uint32
	files  uint16
	flags  uint16
	number uint64
}

// frame waits to be sent.
type frame struct {
	octets []byte
	files  []*os.File
}

// send queues a frame whose text is body in JSON.
func (c *Conn) send(h header, body any, files []*os.File) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("cannot write a message: %w", err)
	}
	if len(text) > maxText || len(files) > maxFiles {
		return fmt.Errorf("a message of %d octets and %d files is too big", len(text), len(files))
	}
	b := make([]byte, headerSize, headerSize+len(text))
	binary.BigEndian.PutUint32(b, uint32(len(text)))
	binary.BigEndian.PutUint16(b[4:], uint16(len(files)))
	binary.BigEndian.PutUint16(b[6:], h.flags)
	binary.BigEndian.PutUint64(b[8:], h.number)
	f := frame{octets: append(b, text...)}
	for _, file := range files {
		dup, err := duplicate(file)
		if err != nil {
			closeAll(f.files)
			return fmt.Errorf("cannot send a file: %w", err)
		}
		f.files = append(f.files, dup)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended != nil:
		err = ErrGone
	case c.queued+len(f.octets) > c.most:
		err = ErrFull
	default:
		c.out = append(c.out, f)
		c.queued += len(f.octets)
		c.wake.Signal()
		return nil
	}
	closeAll(f.files)
	return err
}

// duplicate returns another descriptor of an open file. It does not use file.Fd, which would
// make a socket one that blocks.
func duplicate(file *os.File) (dup *os.File, err error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var wrong error
	err = raw.Control(func(fd uintptr) {
		var n int
		if n, wrong = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); wrong == nil {
			dup = os.NewFile(uintptr(n), file.Name())
		}
	})
	return dup, errors.Join(err, wrong)
}

// next waits for a frame to send.
func (c *Conn) next() (f frame, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out) == 0 && c.ended == nil {
		c.wake.Wait()
	}
	if c.ended != nil {
		return f, false
	}
	f = c.out[0]
	c.out = c.out[1:]
	c.queued -= len(f.octets)
	return f, true
}

// write sends frames until the connection ends.
func (c *Conn) write() {
	for {
		f, ok := c.next()
		if !ok {
			return
		}
		err := c.put(f)
		closeAll(f.files)
		if err != nil {
			c.end(fmt.Errorf("%w: cannot write to it: %w", ErrGone, err))
			return
		}
	}
}

func (c *Conn) put(f frame) error {
	var rights []byte
	if len(f.files) > 0 {
		var fds []int
		for _, file := range f.files {
			raw, err := file.SyscallConn()
			if err == nil {
				err = raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }) // f.files keeps it open
			}
			if err != nil {
				return err
			}
		}
		rights = unix.UnixRights(fds...)
	}
	n, _, err := c.sock.WriteMsgUnix(f.octets, rights, nil)
	if err == nil && n < len(f.octets) {
		_, err = c.sock.Write(f.octets[n:])
	}
	return err
}

// read hears frames until the connection ends.
func (c *Conn) read() {
	var r reader
	err := r.run(c)
	closeAll(r.files)
	c.end(fmt.Errorf("%w: %w", ErrGone, err))
}

// reader puts frames together.
type reader struct {
	octets []byte
	files  []*os.File // came, and belong to frames that are not whole yet
}

func (r *reader) run(c *Conn) error {
	part, rights := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4*maxFiles))
	for {
		n, oobn, flags, _, err := c.sock.ReadMsgUnix(part, rights)
		if err != nil {
			return err
		}
		if err := r.receive(rights[:oobn]); err != nil {
			return err
		}
		if flags&unix.MSG_CTRUNC != 0 {
			return errors.New("descriptors were lost: this process may not have so many")
		}
		if n == 0 {
			return errors.New("it closed the connection")
		}
		r.octets = append(r.octets, part[:n]...)
		for {
			again, err := r.frame(c)
			if err != nil {
				return err
			}
			if !again {
				break
			}
		}
	}
}

// receive keeps the descriptors of control messages.
func (r *reader) receive(control []byte) error {
	if len(control) == 0 {
		return nil
	}
	list, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return err
	}
	for i := range list {
		fds, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			return err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			r.files = append(r.files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return nil
}

// frame hears the next frame, if it is whole.
func (r *reader) frame(c *Conn) (again bool, err error) {
	if len(r.octets) < headerSize {
		return false, nil
	}
	h := header{binary.BigEndian.Uint32(r.octets), binary.BigEndian.Uint16(r.octets[4:]),
		binary.BigEndian.Uint16(r.octets[6:]), binary.BigEndian.Uint64(r.octets[8:])}
	if h.size > maxText || h.files > maxFiles || h.flags > flagAnswer|flagFailed {
		return false, errors.New("what it sent is no message")
	}
	end := headerSize + int(h.size)
	if len(r.octets) < end {
		return false, nil
	}
	if int(h.files) > len(r.files) {
		return false, errors.New("a message lacks its descriptors")
	}
	text := append([]byte(nil), r.octets[headerSize:end]...)
	r.octets = append(r.octets[:0], r.octets[end:]...)
	files := append([]*os.File(nil), r.files[:h.files]...)
	r.files = append(r.files[:0], r.files[h.files:]...)
	return true, c.hear(h, text, files)
}

// hear is called for each frame.
func (c *Conn) hear(h header, text []byte, files []*os.File) error {
	if h.flags&flagAnswer != 0 {
		c.answered(h, text, files)
		return nil
	}
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		closeAll(files)
		return fmt.Errorf("what it sent is no message: %w", err)
	}
	c.handle(&Message{Kind: m.Kind, Files: files, body: m.Body, conn: c, number: h.number})
	return nil
}

// answered tells who asked.
func (c *Conn) answered(h header, text []byte, files []*os.File) {
	r := reply{body: text, files: files}
	if h.flags&flagFailed != 0 {
		var why string
		_ = json.Unmarshal(text, &why)
		r.err = RemoteError(why)
		if why == ErrUnknown.Error() {
			r.err = ErrUnknown
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if answered := c.asked[h.number]; answered != nil {
		delete(c.asked, h.number)
		answered <- r // capacity 1, and this is the only answer
		return
	}
	closeAll(files)
}
