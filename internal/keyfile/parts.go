package keyfile

import (
	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/seal"
)

// NewParts returns a file that is read part by part, each by tables of at most so
// many keys. The report gets the entries of one part: see NextPart.
func NewParts(name string, keys *seal.Keyring, most int, ps *Problems) *File {
	return &File{Name: name, Keys: keys, Problems: ps, Report: new(Report),
		spare: &spare{make([]Entry, 0, most), make(Claims)}}
}

// NextPart makes f the part whose text is text, after so many lines of the file,
// and whose value is root. The entries and claims of the part before are gone.
func (f *File) NextPart(text []byte, before int, root hujson.Value) {
	f.Root, f.before, f.lines = root, before, lineEnds(f.lines[:0], text)
	f.Passing, f.Unresolved = false, false
	f.Report.entries = f.Report.entries[:0]
	f.spare.entries = f.spare.entries[:0]
}

// newEntry returns an empty entry.
func (f *File) newEntry() *Entry {
	if f.spare == nil || len(f.spare.entries) == cap(f.spare.entries) {
		return new(Entry)
	}
	n := len(f.spare.entries)
	f.spare.entries = f.spare.entries[:n+1]
	f.spare.entries[n] = Entry{}
	return &f.spare.entries[n]
}

// newClaims returns empty claims.
func (f *File) newClaims() Claims {
	if f.spare == nil {
		return make(Claims)
	}
	clear(f.spare.claims)
	return f.spare.claims
}
