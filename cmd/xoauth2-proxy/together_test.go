package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/app/apptest"
)

// TestEditorsTogether has the admin API and the command line add accounts at the
// same time, beside reloads, while other commands are killed at any moment. No
// account is lost whose addition was confirmed, and the file is valid at the end.
func TestEditorsTogether(t *testing.T) {
	const each = 10
	s := newStack(t, "user@gmail.com")
	add := func(ctx context.Context, name string) error {
		cmd := exec.CommandContext(ctx, os.Args[0], with(s.Files, "accounts", "add", name+"@hotmail.com", "--client-id", "c", "--refresh-token-file", "-", "--no-verify")...)
		cmd.Env = append(os.Environ(), runAsCommand+"=1")
		cmd.Stdin = strings.NewReader("canary-" + name)
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s: %w: %s", name, err, out)
		}
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range each {
			if err := add(t.Context(), fmt.Sprint("cli", i)); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for i := range each {
			s.Want(200, nil, "POST", "/admin/accounts", fmt.Sprintf(
				`{"email": "api%d@hotmail.com", "provider": "outlook", "client_id": "c", "refresh_token": "canary", "verify": false}`, i))
		}
	})
	wg.Go(func() {
		for i := range each {
			ctx, cancel := context.WithTimeout(t.Context(), rand.N(100*time.Millisecond))
			_ = add(ctx, fmt.Sprint("killed", i)) // or not
			cancel()
		}
	})
	wg.Go(func() {
		for range each {
			s.Want(200, nil, "POST", "/admin/reload", "")
		}
	})
	wg.Wait()
	mustRun(t, 0, with(s.Files, "check")...)
	s.Want(200, nil, "POST", "/admin/reload", "")
	inForce, inFile := s.Want(200, nil, "GET", "/admin/accounts", ""), apptest.ReadAll(t, s.Files.Accounts)
	for i := range each {
		for _, name := range []string{"cli", "api"} {
			email := fmt.Sprintf(`"%s%d@hotmail.com"`, name, i)
			if strings.Count(inForce, email) != 1 || strings.Count(inFile, email) != 1 {
				t.Errorf("%s is in force %d times, in the file %d times", email, strings.Count(inForce, email), strings.Count(inFile, email))
			}
		}
	}
}
