package handover

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
)

// keyText is the key of the token stores.
var keyText = seal.GenerateKey()

var keys = func() *seal.Keyring {
	k, err := seal.ParseKeyring(keyText)
	if err != nil {
		panic(err)
	}
	return k
}()

// openAll opens all stores of a directory.
func openAll(dir string, ring *seal.Keyring) (s Stores, err error) {
	if s.Tokens, err = NewTokens(func() (*tokenstore.Store, error) {
		return tokenstore.Open(tokenstore.Config{Path: filepath.Join(dir, "tokens.db"), Keys: ring})
	}); err != nil {
		return s, err
	}
	if s.Counts, err = NewCounts(func() (*quota.Store, error) {
		s, _, err := quota.Open(dir)
		return s, err
	}); err != nil {
		return s, err
	}
	s.Orders = new(control.Orders)
	_, err = s.Orders.Open(ordersAt(dir))
	return s, err
}

// open is openAll.
func open(t testing.TB, dir string) Stores {
	t.Helper()
	s, err := openAll(dir, keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ordersAt(dir string) string { return filepath.Join(dir, control.FileName) }

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		child(role)
		return
	}
	goleak.VerifyTestMain(m)
}

func chainOf(name string) oauth.Chain {
	return oauth.Chain{AccountID: name, Fingerprint: sha256.Sum256([]byte(name))}
}

// rotated is a record whose refresh token is token, given by the provider after that many
// seconds.
func rotated(token string, seconds int64) oauth.Record {
	at := time.Unix(1_800_000_000+seconds, 0).UTC()
	return oauth.Record{Refresh: account.NewSecret(token), Rotated: at, Access: account.NewSecret("access-" + token), Refreshed: at, Expiry: at.Add(time.Hour), Seen: at}
}

// wantRefresh fails the test unless the store has a refresh token.
func wantRefresh(t testing.TB, store oauth.Store, name, want string) {
	t.Helper()
	r, ok, err := store.Load(chainOf(name))
	if err != nil || !ok || r.Refresh.Reveal() != want {
		t.Errorf("%s has %q (%v, %v), want %q", name, r.Refresh.Reveal(), ok, err, want)
	}
}

func save(t testing.TB, store oauth.Store, name string, r oauth.Record) {
	t.Helper()
	if err := store.Save(chainOf(name), r); err != nil {
		t.Error(err)
	}
}

// ends are the two ends of a handover.
type ends struct {
	dir   string
	giver *Giver
	taker *Taker
	sock  *net.UnixConn // of the giver
}

func newEnds(t testing.TB) *ends {
	t.Helper()
	e := &ends{dir: t.TempDir()}
	e.giver = &Giver{Stores: open(t, e.dir), OrdersPath: ordersAt(e.dir)}
	t.Cleanup(func() { closeStores(t, e.giver.Stores) })
	a, b, err := frames.Pair()
	if err != nil {
		t.Fatal(err)
	}
	e.sock, e.taker = a, NewTaker(b, keys)
	t.Cleanup(func() { _ = e.taker.Close() })
	return e
}

func closeStores(t testing.TB, s Stores) {
	t.Helper()
	if err := errors.Join(s.Tokens.Close(), s.Counts.Close()); err != nil {
		t.Error(err)
	}
}

// timely is a deadline that no right handover comes near to.
func timely(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// handOver does all steps up to opened, and returns the stores of the new process. between is
// called while neither has the files.
func (e *ends) handOver(t testing.TB, between func()) Stores {
	t.Helper()
	given := make(chan error, 1)
	go func() { given <- e.giver.Give(timely(t), e.sock) }()
	if err := e.taker.Await(timely(t)); err != nil {
		t.Fatal(err)
	}
	between()
	s := open(t, e.dir)
	t.Cleanup(func() { closeStores(t, s) })
	if err := e.taker.Opened(s); err != nil {
		t.Fatal(err)
	}
	if err := <-given; err != nil {
		t.Fatal(err)
	}
	return s
}

// hoursOf is what counts have of an account in hour 1 of the test.
func hoursOf(c interface {
	Load(string, func(int64, uint32, uint32))
}, account string) (messages uint32) {
	c.Load(account, func(hour int64, m, _ uint32) {
		if hour == thisHour {
			messages = m
		}
	})
	return messages
}

var thisHour = time.Now().Unix() / 3600

func TestHandover(t *testing.T) {
	e := newEnds(t)
	old := e.giver.Stores
	save(t, old.Tokens, "a", rotated("a0", 0))
	old.Counts.Save("m", thisHour, 10, 10)
	if _, err := old.Orders.Set("stopped", control.Paused, time.Now()); err != nil {
		t.Fatal(err)
	}
	early := make(chan error, 1)
	s := e.handOver(t, func() {
		go func() { early <- old.Tokens.Save(chainOf("a"), rotated("a1", 1)) }()
		old.Counts.Save("m", thisHour, 13, 13)
		if _, err := old.Orders.Set("late", control.Draining, time.Now()); err != nil {
			t.Error(err)
		}
	})
	if err := <-early; err != nil {
		t.Error(err)
	}
	wantRefresh(t, s.Tokens, "a", "a1")
	// Both go on.
	if n := hoursOf(s.Counts, "m"); n != 10 {
		t.Errorf("the new process begins with %d messages", n)
	}
	s.Counts.Save("m", thisHour, 15, 15) // 5 of its own
	old.Counts.Save("m", thisHour, 20, 20)
	save(t, old.Tokens, "b", rotated("b1", 2))
	save(t, s.Tokens, "a", rotated("a2", 3))
	wantRefresh(t, old.Tokens, "a", "a2") // it asks
	// A process that has missed a rotation does not undo it.
	late := rotated("a1", 1)
	late.Access, late.Refreshed = account.NewSecret("newest"), late.Refreshed.Add(time.Minute)
	save(t, old.Tokens, "a", late)
	if r, _, err := s.Tokens.Load(chainOf("a")); err != nil || r.Refresh.Reveal() != "a2" || r.Access.Reveal() != "newest" {
		t.Errorf("%q, %q, %v", r.Refresh.Reveal(), r.Access.Reveal(), err)
	}
	if err := e.giver.Finish(timely(t)); err != nil {
		t.Fatal(err)
	}
	if !e.taker.Whole() {
		t.Error("the new process has not heard that all is said")
	}
	for id, want := range map[string]control.State{"stopped": control.Paused, "late": control.Draining} {
		if is := s.Orders.Of(id).State; is != want {
			t.Errorf("%s is %v", id, is)
		}
	}
	// The meter of the new process gets what the old one counted.
	var others uint32
	s.Counts.Others("m", func(hour int64, m, _ uint32) { others += m })
	s.Counts.Save("m", thisHour, 15+others+1, 15+others+1)
	if others != 10 {
		t.Errorf("the old process has counted %d messages, want 10", others)
	}
	if err := s.Counts.Flush(); err != nil {
		t.Error(err)
	}
	if n := hoursOf(s.Counts, "m"); n != 26 {
		t.Errorf("%d messages are counted, want 26", n)
	}
	wantRefresh(t, s.Tokens, "b", "b1")
}

// TestRecordCrossesWhole has every field of a record cross.
func TestRecordCrossesWhole(t *testing.T) {
	var r oauth.Record
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case account.Secret:
			f.Set(reflect.ValueOf(account.NewSecret(v.Type().Field(i).Name)))
		case time.Time:
			f.Set(reflect.ValueOf(time.Unix(1_800_000_000+int64(i), 0).UTC()))
		case bool:
			f.SetBool(true)
		case [sha256.Size]byte:
			f.Set(reflect.ValueOf(sha256.Sum256([]byte{byte(i)})))
		case uint64:
			f.SetUint(uint64(i))
		default:
			t.Fatalf("no value for %s", v.Type().Field(i).Name)
		}
	}
	text, err := json.Marshal(recordFor(chainOf("a"), r))
	if err != nil {
		t.Fatal(err)
	}
	var w record
	if err := json.Unmarshal(text, &w); err != nil {
		t.Fatal(err)
	}
	if got := w.saving(); got.record != r || got.chain != chainOf("a") {
		t.Errorf("%+v, want %+v", got.record, r)
	}
}
