package lab

import (
	"os"
	"testing"
)

func TestResidentMemory(t *testing.T) {
	if n, err := ResidentMemory(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("%d, %v", n, err)
	}
}
