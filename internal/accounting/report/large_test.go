package report

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"xoauth2-proxy/internal/accounting/reading"
)

// TestMemory: ten times the records take no more memory.
func TestMemory(t *testing.T) {
	used := func(records int) uint64 {
		path := filepath.Join(t.TempDir(), "accounting.csv")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := io.WriteString(file, "type,timeLogged,orig,rcpt,account,provider,messageId,session,process,sequence,totalMs\n"); err != nil {
			t.Fatal(err)
		}
		for i := range records {
			fmt.Fprintf(file, "d,2026-11-30T17:00:00.000Z,a%d@x,b%d@y,acc%d,gmail,<m%d@x>,%d,p,%d,%d.5\n", i, i, i%100, i, i, i+1, i%1000)
		}
		sum := tally(t, Config{By: []string{"account", "hour"}, Phases: true}, path)
		if sum.Total.Delivered != uint64(records) {
			t.Errorf("%d of %d records", sum.Total.Delivered, records)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		runtime.KeepAlive(sum)
		return m.HeapAlloc
	}
	const few = maxOpen + 1
	used(few)
	if before, after := used(few), used(10*few); after > before+few {
		t.Errorf("%d octets for %d records, %d for %d", before, few, after, 10*few)
	}
}

// BenchmarkRead reads records with all that the proxy writes in them.
func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "accounting.csv")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	fmt.Fprintln(file, "type,timeLogged,timeQueued,orig,rcpt,dsnStatus,dsnDiag,dlvSize,account,email,tenant,provider,class,hint,messageId,waitMs,sendMs,answerMs,totalMs,session,process,sequence")
	for i := range b.N {
		fmt.Fprintf(file, "d,2026-11-30T17:00:00.000Z,2026-11-30T17:00:00.000Z,a@x.example,b@y.example,2.0.0,\"smtp;250 2.0.0 OK, %d\",1000,acc%d,a@x.example,x.example,gmail,,,<%d@x>,0.100,0.200,3.300,3.600,%d,p,%d\n", i, i%1000, i, i, i+1)
	}
	sum, _ := New(Config{By: []string{"account"}})
	r := reading.Reader{Record: func(w *reading.Row) { sum.Add(w) }}
	b.ReportAllocs()
	b.ResetTimer()
	if err := r.File(reading.File{Name: path}); err != nil {
		b.Fatal(err)
	}
}
