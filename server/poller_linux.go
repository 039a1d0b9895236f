package server

import (
	"errors"
	"reflect"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/queue"
)

// poller is what we use of the part of a gnet loop that waits for sockets. It
// is not exported.
type poller struct {
	epoll int // descriptor
	wake  int // the eventfd, in the epoll set
	// woken is 1 from when somebody writes to the eventfd until the loop looks for
	// tasks: gnet behind those that it has done, and the loop itself.
	woken *int32
	tasks [2]*queue.AsyncTaskQueue
	conns unsafe.Pointer // gnet's table of the loop's connections
}

// errPoller: this is another version of gnet than the one that go.mod pins.
var errPoller = errors.New("server: gnet's poller is not as it is known")

// pollerOf finds that of the loop of c.
func pollerOf(c gnet.Conn) (poller, error) {
	var p poller
	v := structAt(reflect.ValueOf(c))
	if v.IsValid() {
		v = structAt(v.FieldByName("loop"))
	}
	if !v.IsValid() {
		return p, errPoller
	}
	conns := v.FieldByName("connections")
	if v = structAt(v.FieldByName("poller")); !v.IsValid() || conns.Kind() != reflect.Struct {
		return p, errPoller
	}
	p.conns = conns.Addr().UnsafePointer()
	p.woken = field[int32](v, "wakeupCall")
	p.tasks[0] = field[queue.AsyncTaskQueue](v, "urgentAsyncTaskQueue")
	p.tasks[1] = field[queue.AsyncTaskQueue](v, "asyncTaskQueue")
	epoll, wake := field[int](v, "fd"), field[int](v, "efd")
	if p.woken == nil || p.tasks[0] == nil || p.tasks[1] == nil || epoll == nil || wake == nil {
		return p, errPoller
	}
	p.epoll, p.wake = *epoll, *wake
	return p, nil
}

// structAt is the struct that v points to, the zero Value if there is none.
func structAt(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct { // Elem of nil is of no kind
		return reflect.Value{}
	}
	return v.Elem()
}

// field points to a field of the addressable struct v, if it has that type.
func field[T any](v reflect.Value, name string) *T {
	f := v.FieldByName(name)
	if !f.IsValid() || f.Type() != reflect.TypeFor[T]() {
		return nil
	}
	return (*T)(unsafe.Pointer(f.UnsafeAddr()))
}
