package main

import (
	"strings"
	"testing"
)

// TestEnvironment has variables that a container is started with.
func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		code        int
		says        string
	}{
		{"XOAUTH2_PORT", "tcp://10.0.0.1:2525", exitConfig, "XOAUTH2_PORT=tcp://10.0.0.1:2525 is a link to a service"},
		{"XOAUTH2_ADMIN_PORT", "udp://10.0.0.1:53", exitConfig, "XOAUTH2_ADMIN_PORT=udp"},
		{"XOAUTH2_PORT", "", exitConfig, ""},
		{"XOAUTH2_ADMIN_PORT", "", exitConfig, ""},
		{"XOAUTH2_DRY_RUN", "", exitConfig, ""},
		{"XOAUTH2_STRICT", "", exitConfig, ""},
		{"XOAUTH2_GLOBAL_CONCURRENCY", "", exitConfig, ""},
		{"XOAUTH2_PORT", "0", exitConfig, ""},
		{"XOAUTH2_PORT", "http", exitUsage, "XOAUTH2_PORT"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			t.Setenv(tt.name, tt.value)
			said := mustRun(t, tt.code, "serve", "--accounts", "/not/there") // after the environment
			if tt.says == "" && strings.Contains(said, "warning") || !strings.Contains(said, tt.says) {
				t.Errorf("%s", said)
			}
		})
	}
}
