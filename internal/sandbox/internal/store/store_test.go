package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func newStore(t *testing.T, cfg Config) *Store {
	t.Helper()
	st, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// add has st take a message that came under the account.
func add(t *testing.T, st *Store, account, content string) {
	t.Helper()
	if _, err := st.Add(account, []byte(content), func() *Message { return new(Message) }); err != nil {
		t.Fatal(err)
	}
}

func TestBounds(t *testing.T) {
	st := newStore(t, Config{Mode: ModeKeep, MaxBytes: 25, MaxMessages: 4})
	for i := range 6 {
		add(t, st, "a", fmt.Sprintf("message %02d", i))
	}
	var got []string
	for _, m := range st.Messages() {
		got = append(got, fmt.Sprintf("%d %s %v", m.ID, m.Body, m.BodyDropped))
	}
	want := []string{"3  true", "4  true", "5 message 04 false", "6 message 05 false"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	add(t, st, "a", strings.Repeat("x", 100)) // larger than all: only its envelope stays
	msgs := st.Messages()
	if m := msgs[len(msgs)-1]; m.Size != 100 || !m.BodyDropped {
		t.Errorf("%+v", m)
	}
}

func TestWaitFor(t *testing.T) {
	st := newStore(t, Config{Mode: ModeKeep, MaxBytes: 100, MaxMessages: 4})
	got := make(chan int, 1)
	go func() {
		msgs, err := st.WaitFor(context.Background(), 2)
		if err != nil {
			t.Error(err)
		}
		got <- len(msgs)
	}()
	add(t, st, "a", "one")
	add(t, st, "a", "two")
	if n := <-got; n != 2 {
		t.Errorf("%d messages", n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := st.WaitFor(ctx, 3); err == nil || !strings.Contains(err.Error(), "2 of 3") {
		t.Error(err)
	}
}

// loadMessage is a message as a load generator sends it.
func loadMessage(run string, n int, account, body string) string {
	return "Subject: load\r\nX-Load-Id: " + fmt.Sprintf("%s/%d", run, n) + "\r\nX-Load-Account: " + account +
		"\r\nX-Load-Sum: " + LoadSum([]byte(body)) + "\r\n\r\n" + body
}

func TestLoadAccounting(t *testing.T) {
	for _, mode := range []string{ModeKeep, ModeCount} {
		st := newStore(t, Config{Mode: mode, MaxBytes: 1 << 20, MaxMessages: 100})
		const user = "user@gmail.com"
		for _, n := range []int{0, 1, 2, 63, 64, 65, 70_000, 2, 2} {
			add(t, st, user, loadMessage("r", n, "USER@gmail.com", "body\r\n"))
		}
		add(t, st, user, strings.Replace(loadMessage("r", 100, user, "body\r\n"), "body", "b0dy", 1))
		add(t, st, user, loadMessage("r", 101, "user@outlook.com", "body\r\n"))
		add(t, st, user, loadMessage("other", 7, user, "body\r\n"))
		for _, uncounted := range []string{"Subject: none\r\n\r\nX-Load-Id: r/5\r\n", HeaderLoadID + "r/+5\r\n\r\n",
			HeaderLoadID + "r/1234567890123456789\r\n\r\n", HeaderLoadID + "r\r\n\r\n", "x" + HeaderLoadID + "r/5\r\n\r\n"} {
			add(t, st, user, uncounted)
		}
		l, ok := st.Load("r")
		if !ok || l.Messages != 11 || l.Distinct != 9 || l.Duplicates != 2 || l.WrongSum != 1 || l.WrongAccount != 1 {
			t.Errorf("%+v", l)
		}
		want := []Range{{0, 2}, {63, 65}, {100, 101}, {70_000, 70_000}}
		if !slices.Equal(l.DeliveredRanges, want) || !slices.Equal(l.DuplicateOf, []uint64{2, 2}) {
			t.Errorf("%+v", l)
		}
		if len(st.Loads()) != 2 {
			t.Errorf("%+v", st.Loads())
		}
		if n := len(st.Messages()); (n == 0) != (mode == ModeCount) {
			t.Errorf("mode %s keeps %d messages", mode, n)
		}
	}
}

// TestNewestLoadRuns counts more runs than are remembered: the oldest are forgotten.
func TestNewestLoadRuns(t *testing.T) {
	st := newStore(t, Config{Mode: ModeCount})
	for i := range maxLoadRuns + 2 {
		add(t, st, "a", fmt.Sprintf("%srun%d/0\r\n\r\nx\r\n", HeaderLoadID, i))
	}
	for i, want := range map[int]bool{0: false, 1: false, 2: true, maxLoadRuns + 1: true} {
		if _, ok := st.Load(fmt.Sprint("run", i)); ok != want {
			t.Errorf("run %d is remembered: %v", i, ok)
		}
	}
	if n := len(st.Loads()); n != maxLoadRuns {
		t.Errorf("%d runs are remembered, want %d", n, maxLoadRuns)
	}
}
