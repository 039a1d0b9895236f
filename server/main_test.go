package server

import (
	"testing"

	"xoauth2-proxy/internal/testkit"
)

// TestMain fails when a test leaves a goroutine. The two that it
// ignores belong to a worker pool that package gnet starts when it is loaded.
func TestMain(m *testing.M) {
	if runAsChild() {
		return
	}
	testkit.VerifyNoLeaks(m)
}
