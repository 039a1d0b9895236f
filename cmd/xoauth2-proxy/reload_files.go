package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"xoauth2-proxy/internal/config"
)

// inputs are the files that settings and accounts come from: the two that the
// settings name, and those that their secrets refer to.
type inputs struct {
	mu    sync.Mutex
	known map[string]references // by the file that they are in
}

// references are the files that secrets in a file refer to, as long as it is the
// one that was looked through.
type references struct {
	in    stamp
	files []string
}

// stamps returns what the files of the settings are now.
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
	slices.Sort(referred)
	for _, path := range slices.Compact(referred) {
		stamps = append(stamps, stampOf(path))
	}
	return stamps
}

// What is looked at of a file in one go, and the longest reference there may be.
const (
	referenceWindow = 128 << 10
	maxReference    = 32 << 10
)

// referredIn returns the files that "file:/path" in the file at path refers to.
// It looks for the text and does not parse: whether such a string means anything
// where it stands is known when the file is loaded, and a file too many does no
// harm here.
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

// cutReferences returns the files that a text refers to, and the rest of it, which
// may be the beginning of another reference.
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
		case len(text) > maxReference: // it is none
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
