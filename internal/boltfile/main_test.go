package boltfile

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain finds goroutines that are left, other than those that a fault of bbolt leaves at
// its locks.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("go.etcd.io/bbolt.(*DB).beginTx"), goleak.IgnoreAnyFunction("go.etcd.io/bbolt.(*DB).beginRWTx"))
}
