package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/keyfile"
)

// accountingKeys are the section accounting, which the predecessor did not have.
var accountingKeys = []keyfile.Key[draft]{
	keyfile.Set("accounting.directory", keyfile.Text, func(d *draft) *string { return &d.settings.Accounting.Directory },
		"directory for the accounting log, with a record of what became of each recipient; it is made if it is not there; one that does not begin with / is in $LOGS_DIRECTORY, else in state_dir, else in the working directory; default none: no accounting log; docs/accounting.md has the fields"),
	{Path: "accounting.files", Container: true, Set: (*draft).readAccountingFiles,
		Doc: `array of objects, each a file that is written, with a format, fields and types of its own; default: one, "accounting.csv"`},
	keyfile.Set("accounting.rotate_size", keyfile.Size(64<<10, 1<<40), func(d *draft) *int64 { return &d.settings.Accounting.RotateSize },
		`size at which a file gets a name with the time in it, and a new one begins; default "100MiB"`),
	keyfile.Set("accounting.rotate_every", keyfile.Duration(0, 366*24*time.Hour), func(d *draft) *time.Duration { return &d.settings.Accounting.RotateEvery },
		`time after which that happens too, counted in UTC from midnight; "0s": never; default "24h"`),
	keyfile.Set("accounting.keep_files", keyfile.Whole(0, 1_000_000), func(d *draft) *int { return &d.settings.Accounting.KeepFiles },
		"how many such files are kept of each; default 0: all"),
	keyfile.Set("accounting.keep_days", keyfile.Whole(0, 36_500), func(d *draft) *int { return &d.settings.Accounting.KeepDays },
		"for how many days they are kept; 0: for ever; default 30"),
	keyfile.Set("accounting.compression", keyfile.OneOf(nil, "gzip", "zstd", "none"), func(d *draft) *string { return &d.settings.Accounting.Compression },
		`how they are compressed: "gzip", "zstd" or "none"; default "gzip"`),
	keyfile.Set("accounting.min_free", keyfile.Size(0, 1<<50), func(d *draft) *int64 { return &d.settings.Accounting.MinFree },
		`room that is left on the disk: with less, records are dropped and counted until there is more; default "256MiB"`),
}

// accountingFileTable is the keys of an element of accounting.files.
var accountingFileTable = keyfile.NewTable([]keyfile.Key[accounting.File]{
	keyfile.Set("name", keyfile.Checked(checkAccountingName), func(f *accounting.File) *string { return &f.Name },
		`name in the directory, such as "accounting.csv"; needed`),
	keyfile.Set("format", keyfile.OneOf(nil, "csv", "json"), func(f *accounting.File) *string { return &f.Format },
		`"csv" (RFC 4180, the first line has the names of the fields) or "json" (an object on each line); default "csv"`),
	{Path: "fields", Set: wordsOf(accountingFieldNames(), "a field of a record", func(f *accounting.File) *[]string { return &f.Fields }),
		Doc: "array of the fields in their order; default: all"},
	{Path: "types", Set: wordsOf(accounting.Types(), "a type of record", func(f *accounting.File) *[]string { return &f.Types }),
		Doc: `array of the types of records: "d", "b", "t", and "start", "drop" and "end" about the log itself; default: all`},
})

func accountingFieldNames() (names []string) {
	for _, f := range accounting.Fields() {
		names = append(names, f.Name)
	}
	return names
}

// wordsOf reads an array of different words out of some.
func wordsOf(known []string, what string, field func(*accounting.File) *[]string) func(*accounting.File, *keyfile.Value) {
	return func(f *accounting.File, v *keyfile.Value) {
		v.EachElement(func(element *keyfile.Value) {
			word, ok := keyfile.Text(element)
			switch {
			case !ok:
			case !slices.Contains(known, word):
				element.Fail("%q is not %s; there are: %s", word, what, strings.Join(known, ", "))
			case slices.Contains(*field(f), word):
				element.Fail("%q is there twice", word)
			default:
				*field(f) = append(*field(f), word)
			}
		})
	}
}

// checkAccountingName accepts the name of a file in the directory of the accounting log.
func checkAccountingName(s string) (string, error) {
	const longest = 200 // rotated files have longer names
	switch {
	case filepath.Base(s) != s, strings.HasPrefix(s, "."), strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }):
		return "", errors.New(`must be the name of a file in accounting.directory, such as "accounting.csv"`)
	case len(s) > longest:
		return "", fmt.Errorf("is longer than %d characters", longest)
	case slices.Contains(accounting.Reserved, s), strings.HasSuffix(s, ".gz"), strings.HasSuffix(s, ".zst"):
		return "", fmt.Errorf("%q is a name that the accounting log uses itself", s)
	}
	return s, nil
}

// readAccountingFiles reads accounting.files.
func (d *draft) readAccountingFiles(v *keyfile.Value) {
	var files []accounting.File
	v.EachElement(func(element *keyfile.Value) {
		before := len(*v.File.Problems)
		f := accounting.File{Format: accounting.DefaultFile().Format}
		accountingFileTable.Apply(v.File, element.Node, element.Place.Child("."), &f)
		switch {
		case len(*v.File.Problems) > before:
			return // it says what is wrong already
		case f.Name == "":
			element.Problem("name", "is needed")
		case slices.ContainsFunc(files, func(other accounting.File) bool { return other.Name == f.Name }):
			element.Problem("name", "%q is the name of another file", f.Name)
		}
		files = append(files, f)
	})
	if len(files) > 0 {
		d.settings.Accounting.Files = files
	}
}

// AccountingDir returns the directory of the accounting log; "": there is none. One that
// does not begin with / is in the first directory of $LOGS_DIRECTORY, which systemd sets,
// else in the state directory, else in the working directory.
func (s *Settings) AccountingDir() string {
	dir := s.Accounting.Directory
	if dir == "" || filepath.IsAbs(dir) {
		return dir
	}
	if logs, _, _ := strings.Cut(os.Getenv("LOGS_DIRECTORY"), ":"); logs != "" {
		return filepath.Join(logs, dir)
	}
	return filepath.Join(s.stateDir(), dir)
}
