package accounting

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/durable"
)

// A process that is replaced by another one while its last messages end steps aside: the
// other one gets the directory and the files, and this one writes to files of its own. Its
// numbers go on. Of each name NAME.EXT it has
//
//	NAME.aside-PROCESS.EXT  the records, until the process ends; then it is renamed to the
//	                        name of a rotated file
//
// and beside the state file and the lock, by which others see whether it lives:
//
//	state.aside-PROCESS, lock.aside-PROCESS
//
// What a process that was killed has left, the next one that opens the directory or is told
// to ends: it writes how many records are missing, and the end record.
const aside = ".aside-"

// IsAside reports whether a file of the directory has no records but is about a process that
// stepped aside.
func IsAside(name string) bool {
	return strings.HasPrefix(name, stateName+aside) || strings.HasPrefix(name, lockName+aside)
}

func asideName(path, process string) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + aside + process + ext
}

// StepAside leaves the directory to another process. Records go on to be written, to other
// files. On an error the log is as before.
func (l *Log) StepAside() error {
	if l == nil {
		return nil
	}
	return l.order(order{do: l.writer.stepAside})
}

// StepBack takes the directory back, after the other process has ended. Without StepAside it
// does nothing.
func (l *Log) StepBack() error {
	if l == nil {
		return nil
	}
	return l.order(order{do: l.writer.stepBack})
}

// Inherit ends what processes have left that stepped aside and do not live any more.
func (l *Log) Inherit() error {
	if l == nil {
		return nil
	}
	return l.order(order{do: func() error { l.writer.inherit(); return nil }})
}

func (w *writer) stepAside() error {
	if w.unlockAside != nil {
		return nil
	}
	dir := w.cfg.Directory
	path := filepath.Join(dir, lockName+aside+w.process)
	unlock, err := lock(path)
	if err != nil {
		return fmt.Errorf("cannot step aside in the accounting log: %w", err)
	}
	state := w.cfg.statePath()
	if err := os.Rename(state, state+aside+w.process); err != nil {
		w.of.log.Warn("cannot keep the state file: after a crash it is not known how many records are missing", zap.Error(err))
		w.of.forgetPage()
	}
	for _, f := range w.files {
		f.close()
		f.path, f.aside = asideName(f.path, w.process), true
	}
	w.unlockAside = unlock
	w.of.unlock()
	return nil
}

func (w *writer) stepBack() error {
	if w.unlockAside == nil {
		return nil
	}
	unlock, err := lock(filepath.Join(w.cfg.Directory, lockName))
	if err != nil {
		return fmt.Errorf("cannot take the accounting log back: %w", err)
	}
	w.of.unlock = unlock
	state := w.cfg.statePath()
	if s, ok := readPage(state); ok && s.process != w.process {
		w.endOf(s, "") // of the process that was here and was killed
	}
	if err := os.Rename(state+aside+w.process, state); err != nil {
		w.of.log.Warn("cannot use the state file: after a crash it is not known how many records are missing", zap.Error(err))
		w.of.forgetPage()
	}
	w.retireAside()
	for _, f := range w.files {
		f.path, f.aside = filepath.Join(w.cfg.Directory, f.Name), false
	}
	return nil
}

// retireAside closes the files of a process that stepped aside, and gives them the names of
// rotated ones.
func (w *writer) retireAside() {
	for _, f := range w.files {
		f.close()
		w.retire(filepath.Join(w.cfg.Directory, f.Name), w.process)
	}
	w.unlockAside()
	w.unlockAside = nil
	_ = os.Remove(filepath.Join(w.cfg.Directory, lockName+aside+w.process))
}

// retire renames a file of a process that stepped aside as one that was rotated.
func (w *writer) retire(path, process string) {
	ext := filepath.Ext(path)
	for at := time.Now().UTC(); ; at = at.Add(time.Millisecond) {
		to := strings.TrimSuffix(path, ext) + "-" + at.Format("2006-01-02T15-04-05.000") + "-upgrade" + ext
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		err := os.Rename(asideName(path, process), to)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			w.of.log.Error("a file of the accounting log keeps its name", zap.Error(err))
		}
		return
	}
}

// left returns the processes that stepped aside in a directory and have not retired.
func left(dir string) (processes []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if process, ok := strings.CutPrefix(e.Name(), lockName+aside); ok {
			processes = append(processes, process)
		}
	}
	return processes
}

// inherit ends what processes have left that do not live any more.
func (w *writer) inherit() {
	for _, process := range left(w.cfg.Directory) {
		path := filepath.Join(w.cfg.Directory, lockName+aside+process)
		unlock, err := durable.LockDir(path, 0)
		if err != nil { // it lives, or has just retired
			continue
		}
		state := w.cfg.statePath() + aside + process
		if s, ok := readPage(state); ok && s.process == process {
			w.endOf(s, process)
		}
		for _, f := range w.files {
			w.retire(filepath.Join(w.cfg.Directory, f.Name), process)
		}
		_ = os.Remove(state)
		_ = os.Remove(path)
		unlock()
	}
}

// endOf writes for a process that was killed how many of its records are missing, and that it
// has ended: to the files, or to those that it wrote aside.
func (w *writer) endOf(s saved, asideOf string) {
	var files []*file
	last := s.written
	for _, own := range w.files {
		f := newFile(own.File, w.cfg, s.process, w.of)
		if asideOf != "" {
			f.path, f.aside = asideName(f.path, asideOf), true
		}
		t := tailOf(f.path, f.enc.json)
		if t.process == s.process && t.ended {
			return
		}
		if t.process == s.process {
			last = max(last, t.last)
		}
		files = append(files, f)
	}
	var missing uint64
	if s.sameBoot && s.given > last {
		missing = s.given - last
		w.of.log.Warn("records of the accounting log are missing: the process before was killed",
			zap.Uint64("records", missing), zap.String("process", s.process), zap.Uint64("last_sequence", last))
	}
	for _, f := range files {
		if missing > 0 {
			f.note(&row{kind: kindDrop, about: &about{first: last + 1, last: s.given, count: missing, why: whyKilled}})
		}
		if s.sameBoot {
			f.note(&row{kind: kindEnd, about: &about{last: max(last, s.given), count: missing}})
		}
		f.end()
	}
}
