package loop

import (
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/queue"
)

// TestLinkedFunctions compares what is linked to with the declarations in the
// version of gnet that go.mod pins: neither compiler nor linker do.
func TestLinkedFunctions(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/panjf2000/gnet/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"newStreamConn":        "func(proto string, fd int, el *eventloop, sa unix.Sockaddr, localAddr, remoteAddr net.Addr) (c *conn)",
		"*conn.SetContext":     "func(ctx any)",
		"*eventloop.register0": "func(c *conn) error",
		"*conn.processIO":      "func(_ int, ev netpoll.IOEvent, _ netpoll.IOFlags) error",
	}
	pkg, err := build.ImportDir(strings.TrimSpace(string(dir)), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pkg.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := f.Name.Name
			if f.Recv != nil {
				name = types.ExprString(f.Recv.List[0].Type) + "." + name
			}
			if text, ok := want[name]; ok {
				if got := types.ExprString(f.Type); got != text {
					t.Errorf("%s is declared as\n%s, want\n%s", name, got, text)
				}
				delete(want, name)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

// TestPollerIsNotFound: what is not like a loop of gnet's is refused.
func TestPollerIsNotFound(t *testing.T) {
	type fakePoller struct {
		fd, efd                              int
		wakeupCall                           int64 // not the type that is known
		urgentAsyncTaskQueue, asyncTaskQueue queue.AsyncTaskQueue
	}
	type fakeLoop struct{ poller *fakePoller }
	type fakeConn struct {
		gnet.Conn
		loop *fakeLoop
	}
	found := &fakePoller{fd: 3, efd: 4, wakeupCall: 0, urgentAsyncTaskQueue: queue.NewLockFreeQueue(), asyncTaskQueue: queue.NewLockFreeQueue()}
	for i, c := range []gnet.Conn{&fakeConn{loop: &fakeLoop{found}}, &fakeConn{loop: &fakeLoop{}}, &fakeConn{}, nil} {
		if p, err := pollerOf(c); !errors.Is(err, errVersion) {
			t.Errorf("%d: %+v, %v", i, p, err)
		}
	}
}
