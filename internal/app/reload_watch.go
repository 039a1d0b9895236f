package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/durable"
)

// settle is how long a file must stay unchanged before it is read: some programs
// write in several steps.
const settle = 150 * time.Millisecond

// start has SIGHUP and changes of the files cause reloads, and what ends soon be logged, until
// close.
func (r *reloader) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.signals.hup:
				r.hangup()
			}
		}
	})
	r.wg.Go(func() { r.watch(ctx) })
	r.wg.Go(func() { r.warn(ctx) })
}

// hangup obeys a SIGHUP. The lines about it go to the new log file.
func (r *reloader) hangup() {
	if !r.signals.hangup() {
		return
	}
	if r.reopen != nil {
		if err := r.reopen(); err != nil {
			r.log.Error("cannot open the log anew, it goes on as before", zap.Error(err))
		}
	}
	if err := r.accounting.Reopen(); err != nil {
		r.log.Error("cannot open the accounting log anew yet", zap.Error(err))
	}
	r.service.Reloading()
	_, _ = r.reload("SIGHUP", r.accept) // it logs the result
	r.service.Reloaded()
}

// close ends what start began, and waits for a reload that is running.
func (r *reloader) close() {
	if r.own {
		r.signals.release()
	}
	if r.cancel != nil {
		r.cancel()
	}
	r.wg.Wait()
}

// watch reloads after a file has changed, also a file that a secret is in. It watches
// directories, since files are replaced, also through symbolic links. An event only
// makes it compare the stamps of the files.
func (r *reloader) watch(ctx context.Context) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		r.log.Warn("files are not watched; SIGHUP reloads them", zap.Error(err))
		return
	}
	defer w.Close()
	r.watchDirs(w)
	known := r.files.stamps(r.inForce())
	timer := time.NewTimer(0) // compare once at the start: a file may have changed since it was read
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
			if !sameFiles(now, known) { // the writer may not have finished
				known, armed = now, true
				timer.Reset(settle)
				continue
			}
			if r.unread(now) {
				_, _ = r.reload(causeFile, r.accept) // it logs the result
				r.watchDirs(w)
			}
		}
	}
}

// unread reports whether the files differ from those that were last read.
func (r *reloader) unread(now []stamp) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !sameFiles(now, r.stamps)
}

// watchDirs makes w watch the directories of the files and of their link targets,
// and no others.
func (r *reloader) watchDirs(w *fsnotify.Watcher) {
	dirs := make(map[string]bool)
	for _, st := range r.files.stamps(r.inForce()) {
		addDirs(dirs, st.path)
	}
	for _, dir := range w.WatchList() {
		if !dirs[dir] {
			_ = w.Remove(dir) // the directory may be gone
		}
	}
	for dir := range dirs {
		if err := w.Add(dir); err != nil {
			r.log.Warn("changes of a file are not noticed; SIGHUP reloads it", zap.String("directory", dir), zap.Error(err))
		}
	}
}

// addDirs adds the directories in which a change can put another file at path: the
// directory of the file, and the directories of the symbolic links on the way. A
// file that is mounted by itself is added too: other processes change it through
// another directory.
func addDirs(dirs map[string]bool, path string) {
	const mostLinks = 40 // Linux follows as many
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
