package redisstore

import (
	"context"
	"strings"

	"xoauth2-proxy/internal/share"
)

// Facts are what a server says of itself.
type Facts struct {
	// Version is the server's, such as "7.0.15".
	Version string
	// Evicts: a full server drops leases, and nothing tells.
	Evicts bool
	// Nodes are those that share limits there.
	Nodes []share.Info
}

// Probe finds out whether the server answers, and may be used. It joins nothing.
func (s *Store) Probe(ctx context.Context) (Facts, error) {
	nodes, err := s.Nodes(ctx)
	if err != nil {
		return Facts{}, err
	}
	ctx, cancel := patience(ctx)
	defer cancel()
	text, err := s.client.Do(ctx, s.client.B().Info().Section("server", "memory").Build()).ToString()
	if err != nil {
		return Facts{}, storeError(err)
	}
	said := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			said[name] = value
		}
	}
	policy := said["maxmemory_policy"]
	return Facts{Version: said["redis_version"], Evicts: said["maxmemory"] != "0" && policy != "" && policy != "noeviction", Nodes: nodes}, nil
}
