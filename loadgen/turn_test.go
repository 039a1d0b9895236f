package main

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"xoauth2-proxy/internal/testkit"
)

// pair returns both ends of a TCP connection on loopback.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l := testkit.Listen(t)
	defer l.Close()
	var err error
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// turnOn returns the turns of a connection.
func turnOn(t *testing.T, conn net.Conn) *turn {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return newTurn(conn, raw)
}

// TestTurn: the question arrives, however large it is, and the answer is seen, whether it
// comes before or after the wait begins.
func TestTurn(t *testing.T) {
	client, server := pair(t)
	ended := make(chan error, 1)
	go func() { ended <- echo(server) }()
	turn := turnOn(t, client)
	buf := make([]byte, 16)
	for _, size := range []int{1, 1000, 8 << 20, 1} {
		question := make([]byte, size)
		question[size-1] = '\n'
		n, err := turn.take(question, buf)
		if err != nil || string(buf[:n]) != "250 ok\r\n" {
			t.Fatalf("%d octets: %q, %v", size, buf[:n], err)
		}
	}
	client.(*net.TCPConn).CloseWrite()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// echo answers each line.
func echo(conn net.Conn) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if buf[n-1] == '\n' {
			if _, err := io.WriteString(conn, "250 ok\r\n"); err != nil {
				return err
			}
		}
	}
}

// TestTurnEnds: a peer that closes ends the turn, one that says nothing does so
// at the deadline.
func TestTurnEnds(t *testing.T) {
	client, server := pair(t)
	turn := turnOn(t, client)
	if err := client.SetDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := turn.take([]byte("x"), make([]byte, 16)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	client.SetDeadline(time.Time{})
	go func() {
		_, _ = io.ReadFull(server, make([]byte, 2)) // the octets of the turn above as well
		server.Close()
	}()
	if _, err := turn.take([]byte("x"), make([]byte, 16)); !errors.Is(err, io.EOF) {
		t.Errorf("closed: %v", err)
	}
	client.Close()
	if _, err := turn.take([]byte("x"), make([]byte, 16)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed here: %v", err)
	}
}

// TestGoodbye: a 421 that came before a message began, from a server that goes on reading, is
// the answer to its first command.
func TestGoodbye(t *testing.T) {
	addr := testkit.Serve(t, func(_ int, conn net.Conn) {
		defer conn.Close()
		if _, err := io.WriteString(conn, "421 4.3.2 going\r\n"); err != nil {
			t.Error(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite() // the client may have gone
		_, _ = io.Copy(io.Discard, conn)
	})
	s := &session{dialogue: &dialogue{target: addr, timeout: testkit.Patience, goodbyes: true}}
	if err := s.connect(); err != nil {
		t.Fatal(err)
	}
	defer s.conn.Close()
	s.extend(time.Now())
	testkit.Eventually(t, "the 421 is there", func() bool { return s.stale(time.Now()) })
	s.out = []byte("MAIL FROM:<a@b.test>\r\n")
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	if code, text, err := s.reply(); code != 421 {
		t.Errorf("%d %s, %v", code, text, err)
	}
}
