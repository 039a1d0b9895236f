package roster

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"xoauth2-proxy/internal/share"
)

var since = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// info is of a node like the one that is asked, but for what change does.
func info(name, incarnation string, change func(*share.Info)) share.Info {
	i := share.Info{Node: share.Node{Name: name, Incarnation: incarnation}, Version: "1", Protocol: 1, KeyCheck: "k", Limits: "l",
		Since: since, Seen: since.Add(time.Minute), Members: 3}
	if change != nil {
		change(&i)
	}
	return i
}

type source struct {
	node share.Node
	all  []share.Info
	err  error
}

func (s source) Node() share.Node                             { return s.node }
func (s source) Roster(context.Context) ([]share.Info, error) { return s.all, s.err }

// TestAsk: each difference has its name, and the old and the new process of one host are two
// nodes.
func TestAsk(t *testing.T) {
	s := source{node: share.Node{Name: "mx1", Incarnation: "b"}, all: []share.Info{
		info("mx1", "a", func(i *share.Info) { i.Version = "0" }),
		info("mx1", "b", nil),
		info("mx2", "c", func(i *share.Info) { i.KeyCheck, i.Protocol = "other", 2 }),
		info("mx3", "d", func(i *share.Info) { i.Limits, i.Members = "more", 0 }),
		info("mx4", "e", nil),
	}}
	got, err := Ask(t.Context(), s)
	if err != nil || !got.Shared || len(got.Nodes) != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := [][]string{{"version"}, nil, {"protocol", "seal key"}, {"limits"}, nil}
	for i, n := range got.Nodes {
		if !reflect.DeepEqual(n.Differs, want[i]) || n.Asked != (i == 1) || n.Name != s.all[i].Name || n.Incarnation != s.all[i].Incarnation ||
			n.Keys != s.all[i].Members || n.Version != s.all[i].Version || !n.Since.Equal(since.Truncate(time.Second)) || !n.Seen.After(n.Since) {
			t.Errorf("%+v, want differences %v", n, want[i])
		}
	}
	s.node.Incarnation = "z" // the store has not heard of it
	if got, err := Ask(t.Context(), s); err != nil || got.Nodes[2].Differs != nil {
		t.Errorf("%+v, %v", got, err)
	}
	s.err = errors.New("down")
	if _, err := Ask(t.Context(), s); !errors.Is(err, ErrUnknown) || !errors.Is(err, s.err) {
		t.Errorf("%v", err)
	}
	if got, err := Ask(t.Context(), nil); err != nil || got.Shared || got.Nodes == nil || len(got.Nodes) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
