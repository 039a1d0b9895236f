package redisstore

import (
	"context"
	"strconv"
	"time"

	"xoauth2-proxy/internal/share"
)

// Claim implements [share.Store].
func (s *Store) Claim(ctx context.Context, n share.Node, chain string, ttl time.Duration) (share.Claim, error) {
	a, err := s.run(ctx, s.scripts.claim, 4, chainKeys(chain), nodeField(n), millis(ttl))
	if err != nil {
		return share.Claim{}, err
	}
	return claimOf(a[1], a[2], a[3])
}

// Commit implements [share.Store].
func (s *Store) Commit(ctx context.Context, _ share.Node, chain string, fence uint64, record []byte) (
	held bool, err error,
) {
	a, err := s.run(ctx, s.scripts.commit, 2, chainKeys(chain),
		strconv.FormatUint(fence, 10), string(record), chain, channel)
	return err == nil && a[1] == "1", err
}

// Abandon implements [share.Store].
func (s *Store) Abandon(ctx context.Context, _ share.Node, chain string, fence uint64) error {
	_, err := s.run(ctx, s.scripts.abandon, 1, chainKeys(chain), strconv.FormatUint(fence, 10), chain, channel)
	return err
}

// Record implements [share.Store].
func (s *Store) Record(ctx context.Context, chain string) (share.Claim, error) {
	a, err := s.ask(ctx, s.client.B().Hmget().Key(keyOf(chain, "tok")).Field("version", "record").Build(), 2)
	if err != nil {
		return share.Claim{}, err
	}
	return claimOf("", a[0], a[1])
}

func chainKeys(chain string) []string { return []string{keyEpoch, keyOf(chain, "tok")} }

// claimOf reads numbers, of which "" is 0.
func claimOf(fence, version, record string) (share.Claim, error) {
	var c share.Claim
	var err error
	if c.Fence, err = number(fence); err != nil {
		return share.Claim{}, err
	}
	if c.Version, err = number(version); err != nil {
		return share.Claim{}, err
	}
	if c.Version > 0 {
		c.Record = []byte(record)
	}
	return c, nil
}
