package smtpd

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/store"
	"xoauth2-proxy/internal/testkit"
)

// BenchmarkFlights delivers messages over TLS, each in one flight, over one
// connection a goroutine. The figure includes the client's own work.
func BenchmarkFlights(b *testing.B) {
	for _, mode := range []string{store.ModeCount, store.ModeKeep} {
		for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
			b.Run(fmt.Sprintf("mode=%s/size=%d", mode, size), func(b *testing.B) { benchmarkFlights(b, mode, size) })
		}
	}
}

func benchmarkFlights(b *testing.B, mode string, size int) {
	s := newServer(b, setup{LimitsOff: true, Store: store.Config{Mode: mode, MaxBytes: 64 << 20, MaxMessages: 1000}})
	body := strings.Repeat("x", size)
	flight := []byte(bdat("from@a.test", "to@b.test", store.HeaderLoadID+"bench/1\r\n"+store.HeaderLoadAccount+gmailUser+"\r\n"+
		store.HeaderLoadSum+store.LoadSum([]byte(body))+"\r\n\r\n"+body))
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := tls.Dial("tcp", s.TLSAddr(mailbox.Gmail), testkit.Trusting(s.CAPEM(), "localhost"))
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		br := bufio.NewReader(conn)
		fmt.Fprintf(conn, "EHLO x\r\nAUTH XOAUTH2 %s\r\n", testkit.XOAuth2(gmailUser, s.token(gmailUser)))
		for line := []byte{}; !bytes.HasPrefix(line, []byte("235 ")); {
			if line, err = br.ReadSlice('\n'); err != nil {
				b.Error(err)
				return
			}
		}
		for pb.Next() {
			if _, err := conn.Write(flight); err != nil {
				b.Error(err)
				return
			}
			for range 3 {
				if line, err := br.ReadSlice('\n'); err != nil || line[0] != '2' {
					b.Errorf("%q, %v", line, err)
					return
				}
			}
		}
	})
}

// BenchmarkUnstuff is the content path of DATA alone.
func BenchmarkUnstuff(b *testing.B) {
	s := &session{srv: &Server{}, offer: &offer{}}
	line := bytes.Repeat([]byte("x"), 76)
	wire := append(bytes.Repeat(append(line, "\r\n"...), 130), ".\r\n"...)
	buf := make([]byte, len(wire))
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, wire)
		if end := findEnd(buf, 0, true); len(s.unstuff(buf[:end])) != len(wire)-3 {
			b.Fatal("wrong length")
		}
	}
}
