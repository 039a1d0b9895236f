// Package roster is the table of the nodes that share limits, with what they do not agree on.
package roster

import (
	"context"
	"errors"
	"time"

	"xoauth2-proxy/internal/share"
)

// Roster is the nodes that the store of the shared limits knows to live.
type Roster struct {
	// Shared is false if the proxy shares its limits with no other one. Then there are no
	// nodes.
	Shared bool `json:"shared"`
	// Nodes are in the order of their names.
	Nodes []Node `json:"nodes"`
}

// Node is one process.
type Node struct {
	Name        string    `json:"name"`
	Incarnation string    `json:"incarnation"`
	Version     string    `json:"version"`
	Since       time.Time `json:"since"`
	Seen        time.Time `json:"seen"` // by the store's clock
	// Keys counts the mailboxes and tenants of which it leases something.
	Keys int `json:"keys"`
	// Asked marks the process that was asked.
	Asked bool `json:"asked"`
	// Differs names what is not as in the process that was asked: "version", "protocol",
	// "seal key" and "limits".
	Differs []string `json:"differs,omitempty"`
}

// Of makes the table for the node that was asked. Only one that the store does not know yet
// cannot be compared with the others.
func Of(asked share.Node, all []share.Info) Roster {
	r := Roster{Shared: true, Nodes: []Node{}}
	var own *share.Info
	for i := range all {
		if all[i].Node == asked {
			own = &all[i]
		}
	}
	for _, i := range all {
		n := Node{Name: i.Name, Incarnation: i.Incarnation, Version: i.Version, Since: i.Since.UTC().Truncate(time.Second),
			Seen: i.Seen.UTC().Truncate(time.Second), Keys: i.Members, Asked: i.Node == asked}
		if own != nil {
			n.Differs = differences(*own, i)
		}
		r.Nodes = append(r.Nodes, n)
	}
	return r
}

func differences(a, b share.Info) (names []string) {
	for _, d := range []struct {
		name   string
		differ bool
	}{
		{"version", a.Version != b.Version},
		{"protocol", a.Protocol != b.Protocol},
		{"seal key", a.KeyCheck != b.KeyCheck},
		{"limits", a.Limits != b.Limits},
	} {
		if d.differ {
			names = append(names, d.name)
		}
	}
	return names
}

// Source is a node that can be asked. Its methods are safe for concurrent use.
type Source interface {
	// Node is the process itself.
	Node() share.Node
	// Roster asks the store for the nodes that live.
	Roster(ctx context.Context) ([]share.Info, error)
}

// ErrUnknown: the store did not tell which nodes there are.
var ErrUnknown = errors.New("cannot ask the store of the shared limits for its nodes")

// Ask makes the table of the node that s is; nil shares with no other.
func Ask(ctx context.Context, s Source) (Roster, error) {
	if s == nil {
		return Roster{Nodes: []Node{}}, nil
	}
	all, err := s.Roster(ctx)
	if err != nil {
		return Roster{}, errors.Join(ErrUnknown, err)
	}
	return Of(s.Node(), all), nil
}
