package syscalls

import (
	"reflect"
	"testing"
)

const sample = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.52    4.044072        3693       105        36 futex
 12.61    0.842922          50      1675           write
  0.00    0.000016          16         1           epoll_create1
------ ----------- ----------- --------- --------- ----------------
100.00    6.682241         130      1781        36 total
`

func TestParse(t *testing.T) {
	got, err := parse(sample)
	want := []call{{"write", 1675, 0}, {"futex", 105, 36}, {"epoll_create1", 1, 0}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := parse("strace: attach: Operation not permitted\n"); err == nil {
		t.Error("nothing was counted, and that was no error")
	}
}

func TestTable(t *testing.T) {
	calls, err := parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"write", "3.35", "0.00"}, {"futex", "0.21", "0.07"}, {"others", "0.00", "0.00"}, {"all", "3.56", "0.07"}}
	if got := table(calls, 500).Rows; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
