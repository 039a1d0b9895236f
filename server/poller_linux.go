package server

import (
	"reflect"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/queue"
)

// poller is what we use of the part of a gnet loop that waits for sockets. It
// is not exported; a test shows that it is found in the version of gnet that
// go.mod pins. What the lack of a part costs is told where it is used.
type poller struct {
	epoll int // descriptor, -1 if it was not found
	// woken is 1 from when somebody writes to the loop's eventfd until the loop
	// has done the tasks that it was woken for. nil if not all was found.
	woken *int32
	tasks [2]*queue.AsyncTaskQueue
	conns unsafe.Pointer // gnet's table of the loop's connections
}

// pollerOf finds that of the loop of c.
func pollerOf(c gnet.Conn) poller {
	p := poller{epoll: -1}
	v := structAt(reflect.ValueOf(c))
	if v.IsValid() {
		v = structAt(v.FieldByName("loop"))
	}
	var conns reflect.Value
	if v.IsValid() {
		conns = v.FieldByName("connections")
		v = structAt(v.FieldByName("poller"))
	}
	if !v.IsValid() {
		return p
	}
	if fd := v.FieldByName("fd"); fd.Kind() == reflect.Int {
		p.epoll = int(fd.Int())
	}
	woken := field[int32](v, "wakeupCall")
	for i, name := range []string{"urgentAsyncTaskQueue", "asyncTaskQueue"} {
		if p.tasks[i] = field[queue.AsyncTaskQueue](v, name); p.tasks[i] == nil {
			return p
		}
	}
	if p.epoll >= 0 && conns.Kind() == reflect.Struct {
		p.woken, p.conns = woken, conns.Addr().UnsafePointer()
	}
	return p
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
