package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/config"
)

// settle is how long a file must not have changed before it is read: some
// programs write in several steps.
const settle = 150 * time.Millisecond

// clockGrain is more than the clock that dates files may be behind.
const clockGrain = 50 * time.Millisecond

// stamp tells versions of a file apart.
type stamp struct {
	path     string
	info     os.FileInfo // nil: it is not there
	modified time.Time
	size     int64
}

// stampsOf returns what the files of the settings are now.
func stampsOf(s *config.Settings) (stamps []stamp) {
	for _, path := range []string{s.ConfigFile, s.AccountsFile} {
		if path == "" {
			continue
		}
		st := stamp{path: path}
		if info, err := os.Stat(path); err == nil {
			st.info, st.modified, st.size = info, info.ModTime(), info.Size()
		}
		stamps = append(stamps, st)
	}
	return stamps
}

// sameFiles reports whether nothing was changed in between.
func sameFiles(a, b []stamp) bool {
	return slices.EqualFunc(a, b, func(x, y stamp) bool {
		if x.path != y.path || (x.info == nil) != (y.info == nil) {
			return false
		}
		return x.info == nil && x.size == y.size || x.info != nil && os.SameFile(x.info, y.info) && x.modified.Equal(y.modified) && x.size == y.size
	})
}

// watch reloads when a file was changed. It watches directories, since files
// are replaced, also by way of symbolic links; what happened there is looked up
// and not taken from the events.
func (r *reloader) watch(ctx context.Context) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		r.log.Warn("files are not watched; SIGHUP reloads them", zap.Error(err))
		return
	}
	defer w.Close()
	r.watchDirs(w)
	known := stampsOf(r.inForce())
	timer := time.NewTimer(0) // one look at the start: a file may have changed since it was read
	defer timer.Stop()
	armed := true
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-w.Events:
			if !ok {
				return
			}
			if !armed {
				armed = true
				timer.Reset(settle)
			}
		case err := <-w.Errors:
			r.log.Warn("watching files", zap.Error(err))
		case <-timer.C:
			armed = false
			now := stampsOf(r.inForce())
			if !sameFiles(now, known) { // it may go on
				known, armed = now, true
				timer.Reset(settle)
				continue
			}
			if r.unread(now) {
				_, _ = r.reload("file") // it logs what comes of it
				r.watchDirs(w)
			}
		}
	}
}

// unread reports whether the files are others than those that were read.
func (r *reloader) unread(now []stamp) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !sameFiles(now, r.stamps)
}

// watchDirs watches the directories of the files, and of what they link to.
func (r *reloader) watchDirs(w *fsnotify.Watcher) {
	s := r.inForce()
	for _, path := range []string{s.ConfigFile, s.AccountsFile} {
		if path == "" {
			continue
		}
		dirs := []string{filepath.Dir(path)}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
		for _, dir := range dirs {
			if err := w.Add(dir); err != nil {
				r.log.Warn("changes of a file are not noticed; SIGHUP reloads it", zap.String("directory", dir), zap.Error(err))
			}
		}
	}
}
