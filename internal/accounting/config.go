package accounting

import (
	"path/filepath"
	"time"

	"xoauth2-proxy/internal/watchdog"
)

// Config is the section accounting of the configuration.
type Config struct {
	// Directory has the files. "": there is no accounting log.
	Directory string
	// Files are written side by side, each with all records of its types. Default: one, the
	// DefaultFile.
	Files []File
	// RotateSize is the size, in octets, at which a file is renamed and a new one begins.
	// Default: 100 MiB.
	RotateSize int64
	// RotateEvery is the time after which it is too, counted in UTC from midnight. 0: never.
	// Default: 24 h.
	RotateEvery time.Duration
	// KeepFiles and KeepDays bound the renamed files: how many of each, and for how many
	// days. 0: no bound. Defaults: 0, 30.
	KeepFiles, KeepDays int
	// Compression of renamed files: "gzip", "zstd" or "none". Default: "gzip".
	Compression string
	// MinFree is the room, in octets, that is left on the disk: with less, records are
	// dropped. 0: as long as there is any. Default: 256 MiB.
	MinFree int64

	// StateFile is the path of the state file. Best on a file system in memory, which no
	// disk can stop. "": state, in Directory. It is not a setting, like the two below.
	StateFile string
	// Version of the program.
	Version string
	// Watch notices a writer that hangs; may be nil.
	Watch *watchdog.Watchdog
}

// File is one file of the accounting log.
type File struct {
	// Name is the name in the directory, such as "accounting.csv".
	Name string
	// Format is "csv" or "json".
	Format string
	// Fields are the fields in their order. None: all.
	Fields []string
	// Types are the types of records. None: all.
	Types []string
}

// Reserved are names in the directory that no file may have.
var Reserved = []string{stateName, lockName}

const stateName, lockName = "state", "lock"

// DefaultFile is the file that is written if none is named.
func DefaultFile() File { return File{Name: "accounting.csv", Format: "csv"} }

// DefaultConfig returns the defaults given at each field: no accounting log.
func DefaultConfig() Config {
	return Config{Files: []File{DefaultFile()}, RotateSize: 100 << 20, RotateEvery: 24 * time.Hour, KeepDays: 30,
		Compression: "gzip", MinFree: 256 << 20}
}

func (c *Config) statePath() string {
	if c.StateFile != "" {
		return c.StateFile
	}
	return filepath.Join(c.Directory, stateName)
}
