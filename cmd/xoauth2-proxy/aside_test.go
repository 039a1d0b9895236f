package main

import (
	"runtime"
	"testing"
)

func TestAside(t *testing.T) {
	before, within := runtime.GOMAXPROCS(0), 0
	aside(func() { within = runtime.GOMAXPROCS(0) })
	if within != before+1 || runtime.GOMAXPROCS(0) != before {
		t.Errorf("%d, then %d, then %d", before, within, runtime.GOMAXPROCS(0))
	}
	func() {
		defer func() { _ = recover() }()
		aside(func() { panic("x") })
	}()
	if n := runtime.GOMAXPROCS(0); n != before {
		t.Errorf("%d after a panic", n)
	}
}
