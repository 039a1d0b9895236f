package main

import (
	"crypto/tls"
	"os"
	"testing"
)

func TestSlope(t *testing.T) {
	if got := slope([]point{{100, 1300}, {200, 1500}, {300, 1700}}); got != 2 {
		t.Errorf("slope %v, want 2", got)
	}
}

func TestResidentMemory(t *testing.T) {
	if n, err := residentMemory(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestWriteCertificate(t *testing.T) {
	cert, key, err := writeCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		t.Error(err)
	}
}
