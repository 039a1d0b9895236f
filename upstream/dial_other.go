//go:build !linux

package upstream

import "syscall"

// socketOptions has nothing to add to what package net sets.
func socketOptions(bool) func(network, address string, c syscall.RawConn) error { return nil }
