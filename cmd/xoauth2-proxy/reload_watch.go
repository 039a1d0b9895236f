package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/durable"
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

// stampOf returns what the file at path is now.
func stampOf(path string) stamp {
	st := stamp{path: path}
	if info, err := os.Stat(path); err == nil {
		st.info, st.modified, st.size = info, info.ModTime(), info.Size()
	}
	return st
}

// same reports whether a file was not changed in between.
func (x stamp) same(y stamp) bool {
	if x.path != y.path || (x.info == nil) != (y.info == nil) || x.size != y.size {
		return false
	}
	return x.info == nil || os.SameFile(x.info, y.info) && x.modified.Equal(y.modified)
}

// sameFiles reports whether nothing was changed in between.
func sameFiles(a, b []stamp) bool { return slices.EqualFunc(a, b, stamp.same) }

// watch reloads when a file was changed, also one that a secret is in. It watches directories, since files
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
	known := r.files.stamps(r.inForce())
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
			now := r.files.stamps(r.inForce())
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

// watchDirs watches the directories of the files, and of what they link to, and
// no others any more.
func (r *reloader) watchDirs(w *fsnotify.Watcher) {
	dirs := make(map[string]bool)
	for _, st := range r.files.stamps(r.inForce()) {
		addDirs(dirs, st.path)
	}
	for _, dir := range w.WatchList() {
		if !dirs[dir] {
			_ = w.Remove(dir) // it may have been removed itself
		}
	}
	for dir := range dirs {
		if err := w.Add(dir); err != nil {
			r.log.Warn("changes of a file are not noticed; SIGHUP reloads it", zap.String("directory", dir), zap.Error(err))
		}
	}
}

// addDirs adds the directories in which a change can put another file at path:
// the one that it is in, and those of the symbolic links on the way there. A file
// that is mounted by itself is added too: its directory is another one where
// others change it.
func addDirs(dirs map[string]bool, path string) {
	const mostLinks = 40 // as many as Linux follows
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	at, rest := "/", path[1:]
	for links := 0; links < mostLinks; {
		name, more, deeper := strings.Cut(rest, "/")
		target, err := os.Readlink(filepath.Join(at, name))
		if err == nil { // a link
			links++
			dirs[at] = true
			if !filepath.IsAbs(target) {
				target = filepath.Join(at, target)
			}
			at, rest = "/", filepath.Join(target, more)[1:]
			continue
		}
		if !deeper {
			dirs[at] = true
			if file := filepath.Join(at, name); durable.IsMounted(file) {
				dirs[file] = true
			}
			return
		}
		at, rest = filepath.Join(at, name), more
	}
}
