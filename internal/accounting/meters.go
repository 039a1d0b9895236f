package accounting

import (
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
)

// Why records are not written, as the class of a drop and as a label.
const (
	whyFull  = "full"  // the buffers were
	whySpace = "space" // the disk has less room than Config.MinFree
	whyError = "error" // a file cannot be written

	whyKilled = "killed" // the process was; only in records
)

// meters are the metrics of a log.
type meters struct {
	records, bytes *metrics.Counter
	dropped        map[string]*metrics.Counter
	lastWrite      atomic.Int64 // seconds since 1970
}

func newMeters(set *metrics.Set) *meters {
	m := &meters{
		records: metric.New(set, "accounting_records_total", "Records written to files of the accounting log.").
			Do("Nothing: each is one outcome of one recipient.").Counter(),
		bytes: metric.New(set, "accounting_written_bytes_total", "Bytes written to files of the accounting log.").
			Do("Compare with the room on its disk; accounting.rotate_size, accounting.keep_files and accounting.keep_days bound the files.").Counter(),
		dropped: make(map[string]*metrics.Counter),
	}
	dropped := metric.New(set, "accounting_dropped_total",
		"Records that the accounting log lacks, by cause: full buffers, no space on the disk, or an error of a file.",
		"cause: full, records come faster than they are written; space, the disk is full; error, a file cannot be written").
		Do("Make room on the disk of accounting.directory, or move that to a faster one. A record in the log has their number.")
	for _, why := range []string{whyFull, whySpace, whyError} {
		m.dropped[why] = dropped.Counter(why)
	}
	metric.New(set, "accounting_last_write_timestamp_seconds",
		"Seconds since 1970 when the accounting log was last written to; 0: not yet.").
		Do("Long ago while mail flows: see accounting_dropped_total and the log.").Gauge(func() float64 { return float64(m.lastWrite.Load()) })
	return m
}
