package handover

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/testkit"
)

// The environment of a process that is killed: its role, "old" or "new", where its files are,
// with which key, and at which step.
const (
	childRole = "HANDOVER_TEST_ROLE"
	childDir  = "HANDOVER_TEST_DIR"
	childKey  = "HANDOVER_TEST_KEY"
	childStep = "HANDOVER_TEST_STEP"
)

// worker saves rotations and counts of one process until it is stopped.
type worker struct {
	name   string // of its accounts
	stores Stores
	said   io.Writer // gets a line for each thing that is saved
	stop   chan struct{}
	done   sync.WaitGroup
	mu     sync.Mutex // guards said
}

const workerAccounts = 3

func (w *worker) start() *worker {
	w.stop = make(chan struct{})
	for i := range workerAccounts {
		w.done.Go(func() {
			account := w.name + strconv.Itoa(i)
			w.each(func(n int64) {
				if w.stores.Tokens.Save(chainOf(account), rotated(strconv.FormatInt(n, 10), n)) == nil {
					w.tell("token", account, n)
				}
			})
		})
	}
	w.done.Go(func() {
		w.each(func(n int64) {
			w.stores.Counts.Save(w.name, thisHour, uint32(n), uint32(n))
			if w.stores.Counts.Flush() == nil && !w.stores.Counts.holds() {
				w.tell("count", w.name, n)
			}
		})
	})
	return w
}

// each calls f with rising numbers.
func (w *worker) each(f func(n int64)) {
	for n := int64(1); ; n++ {
		select {
		case <-w.stop:
			return
		default:
			f(n)
		}
	}
}

func (w *worker) tell(what, name string, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := fmt.Fprintf(w.said, "%s %s %d\n", what, name, n); err != nil {
		os.Exit(1) // whom are we to tell
	}
}

func (w *worker) end() {
	close(w.stop)
	w.done.Wait()
}

// child is a process of the test. It kills itself at its step, with all its goroutines at
// work.
func child(role string) {
	die := func(step string) {
		if step == os.Getenv(childStep) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var err error
	if keys, err = seal.ParseKeyring(os.Getenv(childKey)); err != nil {
		fail(err)
	}
	sock, err := frames.From(os.NewFile(3, "socket"))
	if err != nil {
		fail(err)
	}
	ctx, dir := context.Background(), os.Getenv(childDir)
	if role == "old" {
		g := &Giver{step: die, OrdersPath: ordersAt(dir)}
		if g.Stores, err = openAll(dir, keys); err != nil {
			fail(err)
		}
		w := (&worker{name: role, stores: g.Stores, said: os.Stdout}).start()
		if err := g.Give(ctx, sock); err != nil {
			fail(err)
		}
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // the parent has seen enough
		die("draining")
		w.end()
		if err := g.Finish(ctx); err != nil {
			fail(err)
		}
		die("finished")
		return
	}
	t := NewTaker(sock, keys)
	t.step = die
	if err := t.Await(ctx); err != nil {
		fail(err)
	}
	s, err := openAll(dir, keys)
	if err != nil {
		fail(err)
	}
	die("files")
	if err := t.Opened(s); err != nil {
		fail(err)
	}
	(&worker{name: role, stores: s, said: os.Stdout}).start()
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	die("serving")
}

// startChild starts a process; it returns what it said when it has ended.
func startChild(t *testing.T, role, dir, step string, sock *os.File) (stdin io.WriteCloser, said func() string) {
	t.Helper()
	cmd := exec.CommandContext(timely(t), "/proc/self/exe")
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir, childKey+"="+keyText, childStep+"="+step)
	cmd.ExtraFiles = []*os.File{sock}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = sock.Close()
	return stdin, func() string {
		err := cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("the process ended by itself: %v\n%s", err, complaint.String())
		}
		return out.String()
	}
}

// wantSaved fails the test unless a directory has all that processes said they saved.
func wantSaved(t *testing.T, dir string, said ...string) {
	t.Helper()
	s := open(t, dir)
	defer closeStores(t, s)
	newest := map[string]int64{}
	for _, text := range said {
		for line := range strings.Lines(text) {
			var what, name string
			var n int64
			if k, _ := fmt.Sscanf(line, "%s %s %d\n", &what, &name, &n); k == 3 && strings.HasSuffix(line, "\n") {
				newest[what+" "+name] = max(newest[what+" "+name], n)
			}
		}
	}
	if len(newest) == 0 {
		t.Error("nothing was saved")
	}
	for of, n := range newest {
		what, name, _ := strings.Cut(of, " ")
		var has int64
		if what == "token" {
			r, _, err := s.Tokens.Load(chainOf(name))
			if err != nil {
				t.Error(err)
			}
			has, _ = strconv.ParseInt(r.Refresh.Reveal(), 10, 64)
		} else {
			has = int64(hoursOf(s.Counts, name))
		}
		if has < n {
			t.Errorf("%s: %d is in the file, and %d was saved", of, has, n)
		}
	}
}

// pairWithChild returns both ends of a socket.
func pairWithChild(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	a, b, err := frames.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	if ours, err = a.File(); err == nil {
		theirs, err = b.File()
	}
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// TestKillOfTheNewProcess kills the new process at each step: the old one has its files
// again, and nothing is lost that either has saved.
func TestKillOfTheNewProcess(t *testing.T) {
	for _, step := range []string{kindHello, kindSnapshot, kindReady, "files", "serving"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			g := &Giver{Stores: open(t, dir), OrdersPath: ordersAt(dir)}
			var own strings.Builder
			w := (&worker{name: "old", stores: g.Stores, said: &own}).start()
			ours, theirs := pairWithChild(t)
			sock, err := frames.From(ours)
			if err != nil {
				t.Fatal(err)
			}
			stdin, said := startChild(t, "new", dir, step, theirs)
			err = g.Give(timely(t), sock)
			once := ""
			if step == "serving" {
				if err != nil {
					t.Fatal(err)
				}
				testkit.Eventually(t, "the new process saves", func() bool {
					r, _, _ := g.Tokens.Load(chainOf("new0"))
					return !r.Refresh.IsZero()
				})
				save(t, g.Tokens, "once", rotated("1", 1))
				_, _ = io.WriteString(stdin, "\n")
				once = "token once 1\n"
			} else if err == nil {
				t.Error("the files are handed over to a process that was killed")
			}
			text := said()
			if err := g.TakeBack(); err != nil {
				t.Fatal(err)
			}
			save(t, g.Tokens, "after", rotated("1", 1))
			w.end()
			closeStores(t, g.Stores)
			wantSaved(t, dir, own.String(), text, once+"token after 1\n")
		})
	}
}

// TestKillOfTheOldProcess kills the old process at each step: the new one has the files, and
// nothing is lost that either has saved.
func TestKillOfTheOldProcess(t *testing.T) {
	for _, step := range []string{kindHello, kindSnapshot, "left", kindReady, kindOpened, "draining", "finished"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ours, theirs := pairWithChild(t)
			sock, err := frames.From(ours)
			if err != nil {
				t.Fatal(err)
			}
			stdin, said := startChild(t, "old", dir, step, theirs)
			taker := NewTaker(sock, keys)
			if err := taker.Await(timely(t)); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir)
			if err := taker.Opened(s); err != nil {
				t.Fatal(err)
			}
			var own strings.Builder
			w := (&worker{name: "new", stores: s, said: &own}).start()
			if step == "draining" || step == "finished" {
				testkit.Eventually(t, "the old process saves", func() bool { return hoursOf(s.Counts, "old") > 0 })
				_, _ = io.WriteString(stdin, "\n")
			}
			text := said()
			<-taker.Gone()
			if whole := taker.Whole(); whole != (step == "finished") {
				t.Errorf("the old process has said all: %v", whole)
			}
			save(t, s.Tokens, "after", rotated("1", 1))
			w.end()
			_ = taker.Close()
			closeStores(t, s)
			wantSaved(t, dir, own.String(), text, "token after 1\n")
		})
	}
}
