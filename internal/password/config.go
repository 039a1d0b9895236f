package password

import (
	"errors"
	"fmt"
	"runtime"
)

const (
	maxWorkers   = 256
	maxWaiting   = 1 << 20
	maxCacheSize = 1 << 24
)

// Config has the settings of a Checker.
type Config struct {
	// Workers is the number of goroutines that compute slow hashes; each keeps
	// a CPU busy while it does. Default: half the CPUs, at least one.
	Workers int
	// MaxMemory caps the memory, in octets, that argon2id computations under
	// way use together; a worker whose computation does not fit waits. What a
	// finished one leaves is garbage until the next collection, so that the
	// heap may hold up to twice as much. Default, and least: 64 MiB, which are
	// three hashes made by Hash or one of the largest that Parse takes.
	MaxMemory int64
	// MaxWaiting caps the logins that wait for a slow hash; more are answered
	// Busy. A worker does some 20 to 50 a second. Default: 1024.
	MaxWaiting int
	// CacheSize is how many right logins are remembered, at some 60 octets
	// each. Make it larger than the number of accounts. Default: 65536.
	CacheSize int
}

// DefaultConfig has every default.
func DefaultConfig() Config {
	return Config{
		Workers:    max(1, runtime.NumCPU()/2),
		MaxMemory:  maxMemory << 10,
		MaxWaiting: 1024,
		CacheSize:  1 << 16,
	}
}

// Validate reports all problems at once, each under its key.
func (c Config) Validate() error {
	var errs []error
	for _, n := range []struct {
		key        string
		val        int64
		least, top int64
	}{
		{"workers", int64(c.Workers), 1, maxWorkers},
		{"max_memory", c.MaxMemory, maxMemory << 10, 1 << 40},
		{"max_waiting", int64(c.MaxWaiting), 1, maxWaiting},
		{"cache_size", int64(c.CacheSize), 1, maxCacheSize},
	} {
		if n.val < n.least || n.val > n.top {
			errs = append(errs, fmt.Errorf("password: %s: %d is not in %d..%d", n.key, n.val, n.least, n.top))
		}
	}
	return errors.Join(errs...)
}
