package app

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"xoauth2-proxy/internal/config"
)

// clockGrain is longer than the clock that dates files may lag.
const clockGrain = 50 * time.Millisecond

// stamp identifies a version of a file.
type stamp struct {
	path     string
	info     os.FileInfo // nil: it is not there
	modified time.Time
	size     int64
}

// stampOf returns the stamp of the file at path now.
func stampOf(path string) stamp {
	st := stamp{path: path}
	if info, err := os.Stat(path); err == nil {
		st.info, st.modified, st.size = info, info.ModTime(), info.Size()
	}
	return st
}

// same reports whether both stamps are of the same version.
func (x stamp) same(y stamp) bool {
	if x.path != y.path || (x.info == nil) != (y.info == nil) || x.size != y.size {
		return false
	}
	return x.info == nil || os.SameFile(x.info, y.info) && x.modified.Equal(y.modified)
}

// sameFiles reports whether all stamps are the same.
func sameFiles(a, b []stamp) bool { return slices.EqualFunc(a, b, stamp.same) }

// inputs finds the files that settings and accounts come from: the two that the
// settings name, the files that their secrets refer to, and the certificate for clients.
type inputs struct {
	mu    sync.Mutex
	known map[string]references // by the path of the file that has them
}

// references are the files that the secrets in one version of a file refer to.
type references struct {
	in    stamp
	files []string
}

// stamps returns the stamps of all files now.
func (in *inputs) stamps(s *config.Settings) (stamps []stamp) {
	in.mu.Lock()
	defer in.mu.Unlock()
	var referred []string
	for _, path := range []string{s.ConfigFile, s.AccountsFile} {
		if path == "" {
			continue
		}
		now := stampOf(path)
		stamps = append(stamps, now)
		refs, ok := in.known[path]
		if !ok || !refs.in.same(now) {
			refs = references{now, referredIn(path)}
			if in.known == nil {
				in.known = make(map[string]references)
			}
			in.known[path] = refs
		}
		referred = append(referred, refs.files...)
	}
	for _, path := range []string{s.Server.CertFile, s.Server.KeyFile} {
		if path != "" {
			referred = append(referred, path)
		}
	}
	slices.Sort(referred)
	for _, path := range slices.Compact(referred) {
		stamps = append(stamps, stampOf(path))
	}
	return stamps
}

// The part of a file that is searched at a time, and the longest reference, in octets.
const (
	referenceWindow = 128 << 10
	maxReference    = 32 << 10
)

// referredIn returns the files that "file:/path" in the file at path refers to.
// It searches the text without parsing it, and may return a file too many, which
// does no harm: loading decides whether the string is a reference.
func referredIn(path string) (files []string) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	window := make([]byte, 0, referenceWindow)
	for {
		n, err := io.ReadFull(f, window[len(window):cap(window)])
		found, rest := cutReferences(window[:len(window)+n])
		files = append(files, found...)
		if err != nil { // most likely the end
			return files
		}
		window = window[:copy(window[:cap(window)], rest)]
	}
}

// cutReferences returns the files that a text refers to, and the rest of the text,
// which may be the beginning of another reference.
func cutReferences(text []byte) (files []string, rest []byte) {
	const begin = `"file:`
	for {
		at := bytes.Index(text, []byte(begin))
		if at < 0 {
			return files, text[max(0, len(text)-len(begin)+1):]
		}
		text = text[at:]
		end := len(begin)
		for end < len(text) && text[end] != '"' && text[end] != '\n' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		switch {
		case end < len(text):
		case len(text) > maxReference: // too long for a reference
			text = text[len(begin):]
			continue
		default:
			return files, text
		}
		var ref string
		if json.Unmarshal(text[:end+1], &ref) == nil {
			if file := strings.TrimPrefix(ref, "file:"); filepath.IsAbs(file) {
				files = append(files, file)
			}
		}
		text = text[end:]
	}
}
