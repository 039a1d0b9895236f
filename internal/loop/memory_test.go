package loop

import (
	"crypto/tls"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
)

// TestIsFound shows that this version of Go has the fields that find looks for,
// and that others are not taken for them.
func TestIsFound(t *testing.T) {
	if !known.found {
		t.Error("crypto/tls has changed: connections keep their buffers now")
	}
	type embedded struct {
		_ int
		tls.Conn
	}
	octets := reflect.TypeFor[[]byte]()
	other := reflect.StructOf([]reflect.StructField{
		{Name: "rawInput", PkgPath: "p", Type: octets}, {Name: "input", PkgPath: "p", Type: octets}, {Name: "hand", PkgPath: "p", Type: octets},
	})
	for _, not := range []reflect.Type{reflect.TypeFor[struct{}](), other, reflect.TypeFor[embedded]()} {
		if o := find(not); o != (offsets{}) {
			t.Errorf("in %v it finds %+v", not, o)
		}
	}
}

// pair is two ends of an established connection.
func pair(t *testing.T, version uint16) (client, server *tls.Conn) {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	client = tls.Client(a, clientTLS(version))
	cfg := serverTLS()
	cfg.SessionTicketsDisabled = true
	server = tls.Server(b, cfg)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client, server
}

// exchange has each end write some text, and the other read it in small reads,
// with the memory lent and reclaimed before and after each, or within a record.
func exchange(t *testing.T, client, server *tls.Conn) {
	t.Helper()
	for i, text := range []string{"x", strings.Repeat("all of this fits one record. ", 200), strings.Repeat("this takes several of them. ", 4000)} {
		for from, to := range map[*tls.Conn]*tls.Conn{client: server, server: client} {
			done := make(chan error, 1)
			go func() {
				_, err := io.WriteString(from, text)
				done <- err
			}()
			got, buf := make([]byte, 0, len(text)), make([]byte, 999+i)
			for len(got) < len(text) {
				lend(to)
				n, err := to.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, buf[:n]...)
				reclaim(to)
			}
			if err := <-done; err != nil || string(got) != text {
				t.Fatalf("%d octets came as %d others; %v", len(text), len(got), err)
			}
		}
	}
}

// held is what c holds to read into, in octets.
func held(c *tls.Conn) (octets int) {
	for _, field := range []string{"rawInput", "hand"} {
		octets += reflect.ValueOf(c).Elem().FieldByName(field).FieldByName("buf").Cap()
	}
	return octets
}

// TestIsGivenBack: what comes is read as it was sent, and nothing is held when
// it has been.
func TestIsGivenBack(t *testing.T) {
	for _, version := range versions[1:] {
		t.Run(versionName(version), func(t *testing.T) {
			client, server := pair(t, version)
			if held(client) == 0 {
				t.Error("the handshake has left nothing")
			}
			reclaim(client)
			reclaim(server)
			for range 2 {
				if n := held(client) + held(server); n > 0 {
					t.Errorf("%d octets are held", n)
				}
				exchange(t, client, server)
			}
		})
	}
}

// TestWithoutTheFields: connections work where they are not found.
func TestWithoutTheFields(t *testing.T) {
	were := known
	known = offsets{}
	defer func() { known = were }()
	client, server := pair(t, tls.VersionTLS13)
	exchange(t, client, server)
	if held(client) == 0 {
		t.Error("nothing is held")
	}
}
