package main

import (
	"crypto/tls"
	"testing"
)

func TestSlope(t *testing.T) {
	if got := slope([]point{{100, 1300}, {200, 1500}, {300, 1700}}); got != 2 {
		t.Errorf("slope %v, want 2", got)
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
