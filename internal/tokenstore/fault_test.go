package tokenstore

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"xoauth2-proxy/internal/boltfile"
	"xoauth2-proxy/oauth"
)

// TestBreaksWhileInUse cuts the file of a running proxy: every use of it from then on is an
// error that shows no token, and Close does not hang.
func TestBreaksWhileInUse(t *testing.T) {
	c := chain("a", 1)
	uses := map[string]func(s *Store) error{
		"Load":   func(s *Store) error { _, _, err := s.Load(c); return err },
		"Save":   func(s *Store) error { return s.Save(c, testRecord(2)) },
		"Retain": func(s *Store) error { return s.Retain(func(oauth.Chain) bool { return false }) },
		"Len":    func(s *Store) error { _, err := s.Len(); return err },
	}
	for first, use := range uses {
		t.Run(first, func(t *testing.T) {
			path := storePath(t)
			s, err := Open(Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 50 {
				mustSave(t, s, chain(fmt.Sprint("a", i), 1), testRecord(i))
			}
			if s.Failing() != nil {
				t.Errorf("before: %v", s.Failing())
			}
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			if err := use(s); !errors.Is(err, boltfile.ErrLost) {
				t.Errorf("at the fault: %v", err)
			}
			for name, use := range uses {
				if err := use(s); !errors.Is(err, boltfile.ErrLost) || strings.Contains(err.Error(), "CANARY") {
					t.Errorf("%s after the fault: %v", name, err)
				}
			}
			if err := s.Failing(); !errors.Is(err, boltfile.ErrLost) {
				t.Errorf("Failing: %v", err)
			}
			if err := s.Close(); !errors.Is(err, boltfile.ErrLost) {
				t.Errorf("Close: %v", err)
			}
		})
	}
}
