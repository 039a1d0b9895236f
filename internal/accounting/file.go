package accounting

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// file is one file of the log. It belongs to the writer. timberjack opens, renames,
// compresses and removes; when to rotate is decided here, since a new file begins with the
// header.
type file struct {
	File
	path   string
	cfg    *Config
	log    *zap.Logger
	meters *meters
	enc    *encoder
	header []byte
	takes  [256]bool // by Kind

	out     *timberjack.Logger // nil: closed
	info    os.FileInfo        // of the open file; nil: it is not known yet
	size    int64              // of the open file
	written time.Time          // last
	cut     os.FileInfo        // the file that a failed write left longer than good; nil: none
	good    int64
	lost    gap       // records that it lacks without a drop record
	told    time.Time // when the log said that it cannot be written; zero: it can

	closing sync.WaitGroup // closed files that are still compressed
}

func newFile(cfg File, of *Config, process string, l *Log) *file {
	f := &file{File: cfg, path: filepath.Join(of.Directory, cfg.Name), cfg: of, log: l.log.With(zap.String("file", cfg.Name)),
		meters: l.metrics, enc: newEncoder(cfg.Format == "json", cfg.Fields)}
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

// take writes the records of b. It returns how many it dropped.
func (f *file) take(b *batch) (dropped uint64) {
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
	err := f.write(f.enc.dst)
	if err == nil {
		f.meters.records.AddInt64(int64(records))
		f.recovered()
		return 0
	}
	why := whyError
	if errors.Is(err, errNoRoom) {
		why = whySpace
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
		f.enc.row(&row{kind: kindDrop, at: time.Now().UnixNano(), about: &about{first: g.first, last: g.last, count: g.count, why: g.why}})
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
		f.log.Info("the file of the accounting log was moved or cut by another program: it is opened anew")
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
	if why := f.due(len(lines)); why != "" {
		if err := f.rotate(why); err != nil {
			return err
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
	return err == nil && (f.info == nil || os.SameFile(info, f.info)) && info.Size() >= f.size
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

// due says why the file is to be rotated before n more octets, "" if it is not.
func (f *file) due(n int) string {
	switch {
	case f.size == 0:
		return ""
	case f.size+int64(n) > f.cfg.RotateSize && f.size > int64(len(f.header)):
		return "size"
	case f.cfg.RotateEvery > 0 && !f.written.IsZero() && !f.written.Truncate(f.cfg.RotateEvery).Equal(time.Now().Truncate(f.cfg.RotateEvery)):
		return "time"
	}
	return ""
}

// rotate renames the file, and begins a new one.
func (f *file) rotate(why string) error {
	if err := f.out.RotateWithReason(why); err != nil {
		f.close()
		return fmt.Errorf("cannot rotate %s: %w", f.path, err)
	}
	f.size, f.info = 0, nil
	return nil
}

// put appends b.
func (f *file) put(b []byte) error {
	n, err := f.out.Write(b)
	if f.info == nil {
		f.info, _ = os.Lstat(f.path)
	}
	if err != nil {
		f.close()
		if n > 0 && f.info != nil {
			f.cut, f.good = f.info, f.size
			_, _, _ = f.trim(f.info) // or open does
		}
		return fmt.Errorf("cannot write %s: %w", f.path, err)
	}
	f.size += int64(n)
	f.written = time.Now()
	f.meters.bytes.Add(n)
	f.meters.lastWrite.Store(f.written.Unix())
	return nil
}

// close closes the file. timberjack may be compressing: the writer does not wait for that.
func (f *file) close() {
	if out := f.out; out != nil {
		f.out = nil
		f.closing.Go(func() { _ = out.Close() })
	}
}

// maxSize has timberjack rotate by order only; in MiB.
const maxSize = 1 << 30

// open makes the file ready for Write, which opens or creates it. The end of a line that
// was not written whole is cut off. A file that begins with other fields is rotated.
func (f *file) open() error {
	if err := os.MkdirAll(f.cfg.Directory, 0o750); err != nil {
		return err
	}
	info, err := os.Lstat(f.path)
	f.info, f.size = nil, 0
	other := false
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if f.size, other, err = f.trim(info); err != nil {
			return err
		}
		if f.info, f.written = info, info.ModTime(); f.size < info.Size() {
			f.log.Warn("an unfinished record at the end of the accounting log was cut off", zap.Int64("octets", info.Size()-f.size))
		}
	}
	f.cut = nil
	f.out = &timberjack.Logger{Filename: f.path, MaxSize: maxSize, MaxAge: f.cfg.KeepDays, MaxBackups: f.cfg.KeepFiles,
		Compression: f.cfg.Compression, FileMode: 0o640}
	if other {
		return f.rotate("fields")
	}
	return nil
}

// trim cuts off what a write left that failed, or that was not finished. It returns the
// size, and whether the file begins with another header.
func (f *file) trim(info os.FileInfo) (size int64, other bool, err error) {
	file, err := openRegular(f.path, os.O_RDWR)
	if err != nil {
		return 0, false, err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return 0, false, err
	}
	size = info.Size()
	if f.cut != nil && os.SameFile(f.cut, info) {
		size = min(size, f.good)
	}
	if size, err = lastLineEnd(file, size); err != nil {
		return 0, false, err
	}
	if size < info.Size() {
		if err := file.Truncate(size); err != nil {
			return 0, false, err
		}
	}
	if size == 0 || f.header == nil {
		return size, false, nil
	}
	first := make([]byte, len(f.header))
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, size), first); err != nil {
		return size, true, nil
	}
	return size, !bytes.Equal(first, f.header), nil
}

// openRegular opens a file of ours: not through a link, and not what could block.
func openRegular(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = file.Close()
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", path))
	}
	return file, nil
}

// lastLineEnd returns where the last whole line of a file of that size ends.
func lastLineEnd(file io.ReaderAt, size int64) (int64, error) {
	b := make([]byte, 64<<10)
	for size > 0 {
		part := b[:min(int64(len(b)), size)]
		if _, err := file.ReadAt(part, size-int64(len(part))); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return size - int64(len(part)) + int64(i) + 1, nil
		}
		size -= int64(len(part))
	}
	return 0, nil
}
