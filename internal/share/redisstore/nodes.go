package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/internal/share"
)

// info is what the store has of a [share.Info], beside the node, what nodes must agree on
// and when it was seen.
type info struct {
	Version string    `json:"version"`
	Limits  string    `json:"limits"`
	Since   time.Time `json:"since"`
	Members int       `json:"members"`
}

// nodeField names a node in the store. An incarnation has no "|".
func nodeField(n share.Node) string { return n.Name + "|" + n.Incarnation }

// Announce implements [share.Store].
func (s *Store) Announce(ctx context.Context, i share.Info) error {
	text, err := json.Marshal(info{i.Version, i.Limits, i.Since, i.Members})
	if err != nil {
		return fmt.Errorf("cannot tell of this node: %w", err)
	}
	agreed := strconv.Itoa(i.Protocol) + ":" + escape(i.KeyCheck)
	a, err := s.run(ctx, s.scripts.announce, 2, []string{keyEpoch, keyNodes, keyOrders},
		nodeField(i.Node), agreed, string(text))
	if err == nil && a[1] == "0" {
		err = share.ErrForeign
	}
	return err
}

// Nodes implements [share.Store].
func (s *Store) Nodes(ctx context.Context) ([]share.Info, error) {
	a, err := s.run(ctx, s.scripts.nodes, 1, []string{keyEpoch, keyNodes})
	if err != nil {
		return nil, err
	}
	var list []share.Info
	for field := range slices.Chunk(a[1:], 2) {
		i, err := nodeOf(field)
		if err != nil {
			return nil, fmt.Errorf("cannot read a node of the store: %w", err)
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b share.Info) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Incarnation, b.Incarnation))
	})
	return list, nil
}

// nodeOf reads a field that announce.lua has written, and its name.
func nodeOf(field []string) (share.Info, error) {
	parts := strings.SplitN(field[len(field)-1], " ", 3)
	bar := strings.LastIndexByte(field[0], '|')
	if len(field) != 2 || len(parts) != 3 || bar < 0 {
		return share.Info{}, errAnswer
	}
	seen, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return share.Info{}, err
	}
	protocol, check, _ := strings.Cut(parts[1], ":")
	p, err := strconv.Atoi(protocol)
	if err != nil {
		return share.Info{}, err
	}
	var i info
	if err := json.Unmarshal([]byte(parts[2]), &i); err != nil {
		return share.Info{}, err
	}
	return share.Info{Node: share.Node{Name: field[0][:bar], Incarnation: field[0][bar+1:]},
		Version: i.Version, Protocol: p, KeyCheck: unescape(check),
		Limits: i.Limits, Since: i.Since, Seen: time.UnixMilli(seen), Members: i.Members}, nil
}
