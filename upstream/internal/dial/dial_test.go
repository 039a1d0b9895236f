package dial

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

func TestBadCAFile(t *testing.T) {
	cfg := Config{CAFile: filepath.Join(t.TempDir(), "ca.pem")}
	if _, err := New(cfg, metrics.NewSet()); err == nil || !strings.Contains(err.Error(), "upstream.ca_file") {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(cfg.CAFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(cfg, metrics.NewSet()); err == nil || !strings.Contains(err.Error(), "has no certificate") {
		t.Errorf("bad file: %v", err)
	}
}
