package accounting

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/DeRuina/timberjack"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// file is one file of the log. It belongs to the writer.
type file struct {
	File
	path   string
	aside  bool // the file of a process that stepped aside: it is not rotated
	cfg    *Config
	log    *zap.Logger
	meters *meters
	enc    *encoder
	header []byte
	takes  [256]bool // by Kind
	// rotator renames the file by order, and compresses and removes old ones in a goroutine of
	// its own, one at a time. It writes nothing: it would follow links, and a new file begins
	// with the header.
	rotator *timberjack.Logger

	out     *os.File    // nil: closed
	info    os.FileInfo // of out, when it was opened
	size    int64       // of out
	written time.Time   // last
	cut     os.FileInfo // a file that a failed write left longer than good; nil: none
	good    int64
	lost    gap       // records that it lacks without a drop record
	told    time.Time // when the log said that it cannot be written; zero: it can
	stayed  time.Time // when it could not be rotated last
}

// maxSize has the rotator rename by order only; in MiB.
const maxSize = 1 << 30

func newFile(cfg File, of *Config, process string, l *Log) *file {
	f := &file{File: cfg, path: filepath.Join(of.Directory, cfg.Name), cfg: of,
		log: l.log.With(zap.String("file", cfg.Name)), meters: l.metrics, enc: newEncoder(cfg.Format == "json", cfg.Fields)}
	f.rotator = &timberjack.Logger{Filename: f.path, MaxSize: maxSize, MaxAge: of.KeepDays, MaxBackups: of.KeepFiles,
		Compression: of.Compression, FileMode: fileMode}
	f.enc.process, f.enc.version = process, of.Version
	f.header = f.enc.header()
	types := cfg.Types
	if len(types) == 0 {
		types = Types()
	}
	for k, name := range kindNames {
		for _, t := range types {
			if name != "" && name == t {
				f.takes[k] = true
			}
		}
	}
	return f
}

// take writes the records of b. It returns how many it dropped. A fault of the program costs
// the records, and nothing else.
func (f *file) take(b *batch) (dropped uint64) {
	defer func() {
		if p := recover(); p != nil {
			f.log.Error("panic while writing the accounting log", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			dropped = f.lose(b, fmt.Errorf("internal error: %v", p))
		}
	}()
	if b.empty() && f.lost.count == 0 {
		return 0
	}
	f.enc.dst = f.enc.dst[:0]
	f.drop(f.lost)
	var records uint64
	var r row
	for i := range b.entries {
		if f.takes[b.entries[i].kind] {
			b.at(i, &r)
			f.enc.row(&r)
			records++
		}
	}
	f.drop(b.dropped)
	if err := f.write(f.enc.dst); err != nil {
		return f.lose(b, err)
	}
	f.meters.records.AddInt64(int64(records))
	f.recovered()
	return 0
}

// lose notes that the records of b cannot be written, and returns how many they are.
func (f *file) lose(b *batch, err error) (records uint64) {
	why := whyError
	if errors.Is(err, errNoRoom) {
		why = whySpace
	}
	for i := range b.entries {
		if f.takes[b.entries[i].kind] {
			records++
		}
	}
	if n := len(b.entries); n > 0 {
		f.lost.add(b.entries[0].seq, b.entries[n-1].seq, records, why)
	}
	f.lost.add(b.dropped.first, b.dropped.last, b.dropped.count, why)
	f.meters.dropped[why].AddInt64(int64(records))
	f.failed(err)
	return records
}

// drop encodes a drop record, if there is a gap.
func (f *file) drop(g gap) {
	if g.count > 0 && f.takes[kindDrop] {
		f.enc.row(&row{kind: kindDrop, at: time.Now().UnixNano(),
			about: &about{first: g.first, last: g.last, count: g.count, why: g.why}})
	}
}

// note writes a record about the log.
func (f *file) note(r *row) {
	if !f.takes[r.kind] {
		return
	}
	r.at = time.Now().UnixNano()
	f.enc.dst = f.enc.dst[:0]
	f.enc.row(r)
	if err := f.write(f.enc.dst); err != nil {
		f.failed(err)
	}
}

// failed logs that records are lost.
func (f *file) failed(err error) {
	if now := time.Now(); now.Sub(f.told) >= complaintPause {
		f.told = now
		f.log.Error("cannot write the accounting log: records are dropped", zap.Error(err), zap.Uint64("records", f.lost.count))
	}
}

// recovered logs that the file is written again.
func (f *file) recovered() {
	if !f.told.IsZero() {
		f.log.Warn("the accounting log is written again", zap.Uint64("records_dropped", f.lost.count))
	}
	f.lost, f.told = gap{}, time.Time{}
}

// errNoRoom: the disk has less room than is to be left.
var errNoRoom = errors.New("the disk has too little room")

// write appends whole lines: all of them or none.
func (f *file) write(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if f.out != nil && !f.isOpen() {
		f.log.Info("the file of the accounting log was moved or cut off by another program: it is opened anew")
		f.close()
	}
	if f.out == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if err := f.room(len(lines)); err != nil {
		return err
	}
	if why := f.due(len(lines)); why != "" && time.Since(f.stayed) >= complaintPause {
		if err := f.rotate(why); err != nil {
			f.log.Error("the file of the accounting log stays: it is tried again later", zap.Error(err))
			f.stayed = time.Now()
			if err := f.open(); err != nil {
				return err
			}
		}
	}
	if f.size == 0 && len(f.header) > 0 {
		if err := f.put(f.header); err != nil {
			return err
		}
	}
	return f.put(lines)
}

// isOpen reports whether the open file is still the one at the path.
func (f *file) isOpen() bool {
	info, err := os.Lstat(f.path)
	return err == nil && os.SameFile(info, f.info) && info.Size() >= f.size
}

// room looks whether the disk keeps enough room after n more octets.
func (f *file) room(n int) error {
	if f.cfg.MinFree == 0 {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(f.cfg.Directory, &st); err != nil {
		return fmt.Errorf("cannot look for free space in %s: %w", f.cfg.Directory, err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < f.cfg.MinFree+int64(n) {
		return fmt.Errorf("%w: %d MiB, and accounting.min_free is %d MiB", errNoRoom, free>>20, f.cfg.MinFree>>20)
	}
	return nil
}

// period returns the beginning of the period of rotate_every that t is in.
func (f *file) period(t time.Time) time.Time { return t.Truncate(f.cfg.RotateEvery) }

// due says why the file is to be rotated before n more octets, "" if it is not.
func (f *file) due(n int) string {
	switch {
	case f.size == 0 || f.aside:
		return ""
	case f.size+int64(n) > f.cfg.RotateSize && f.size > int64(len(f.header)):
		return "size"
	case f.cfg.RotateEvery > 0 && !f.period(f.written).Equal(f.period(time.Now())):
		return "time"
	}
	return ""
}

// rotate renames the file, and begins a new one.
func (f *file) rotate(why string) error {
	f.close()
	if err := f.rotator.RotateWithReason(why); err != nil {
		return fmt.Errorf("cannot rotate %s: %w", f.path, err)
	}
	return f.open()
}

// put appends b. Of what it cannot write whole it leaves nothing.
func (f *file) put(b []byte) error {
	n, err := f.out.Write(b)
	if err != nil {
		if n > 0 && f.out.Truncate(f.size) != nil {
			f.cut, f.good = f.info, f.size // open does it
		}
		f.close()
		return fmt.Errorf("cannot write: %w", err)
	}
	f.size += int64(n)
	f.written = time.Now()
	f.meters.bytes.Add(n)
	f.meters.lastWrite.Store(f.written.Unix())
	return nil
}

func (f *file) close() {
	if f.out != nil {
		_ = f.out.Close()
		f.out = nil
	}
}

// end closes the file for good. It waits until old ones are compressed.
func (f *file) end() {
	f.close()
	_ = f.rotator.Close()
}

// open opens or makes the file. The end of a record that was not written whole is cut off. A
// file that begins with other fields is put aside.
func (f *file) open() error {
	if err := os.MkdirAll(f.cfg.Directory, dirMode); err != nil {
		return err
	}
	out, err := openRegular(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	other, err := f.trim(out)
	if err != nil {
		_ = out.Close()
		return err
	}
	f.out = out
	if other {
		return f.rotate("fields")
	}
	return nil
}

// trim cuts off what a write left that failed or was not finished. It reports whether out
// begins with another header.
func (f *file) trim(out *os.File) (other bool, err error) {
	if f.info, err = out.Stat(); err != nil {
		return false, err
	}
	f.size, f.written = f.info.Size(), f.info.ModTime()
	if f.cut != nil && os.SameFile(f.cut, f.info) {
		f.size = min(f.size, f.good)
	}
	if f.size, err = lastLineEnd(out, f.size); err != nil {
		return false, err
	}
	if n := f.info.Size() - f.size; n > 0 {
		if err := out.Truncate(f.size); err != nil {
			return false, err
		}
		f.log.Warn("an unfinished record at the end of the accounting log was cut off", zap.Int64("octets", n))
	}
	f.cut = nil
	if f.size == 0 {
		return false, out.Chmod(fileMode) // whatever the umask is
	}
	first := make([]byte, len(f.header))
	if _, err := io.ReadFull(io.NewSectionReader(out, 0, f.size), first); err != nil {
		return true, nil
	}
	return !bytes.Equal(first, f.header), nil
}
