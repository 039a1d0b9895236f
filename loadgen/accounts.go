package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
)

// checkAccounts makes the list of logins.
func (p *plan) checkAccounts() error {
	if p.Skew != 0 && !(p.Skew > 1 && p.Skew <= 10) {
		return fmt.Errorf("--skew: %v is neither 0 nor above 1", p.Skew)
	}
	if p.AccountsFile != "" {
		logins, err := readLogins(p.AccountsFile)
		if err != nil {
			return fmt.Errorf("--accounts-file: %w", err)
		}
		if p.Accounts > len(logins) {
			return fmt.Errorf("--accounts-file: %s has %d accounts, not %d", p.AccountsFile, len(logins), p.Accounts)
		}
		if p.Accounts > 0 {
			logins = logins[:p.Accounts]
		}
		p.logins = logins
	} else {
		for i := range max(p.Accounts, 1) {
			p.logins = append(p.logins, strings.ReplaceAll(p.Login, "%d", fmt.Sprint(i+1)))
		}
		if len(p.logins) > 1 && p.logins[0] == p.logins[1] {
			return errors.New("--login has no %d, so there is only one account")
		}
	}
	for _, login := range p.logins {
		if len(login) > maxLogin || strings.ContainsAny(login, "\r\n\x00<> ") || login == "" {
			return fmt.Errorf("%q is no login: it is empty, too long, or has spaces or brackets", login)
		}
	}
	return nil
}

// readLogins returns the addresses in an accounts file: an array of accounts,
// or an object with one under "accounts".
func readLogins(name string) ([]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	type account struct {
		Email string `json:"email"`
	}
	var list []account
	if err := json.Unmarshal(text, &list); err != nil {
		var object struct {
			Accounts []account `json:"accounts"`
		}
		if err := json.Unmarshal(text, &object); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = object.Accounts
	}
	list = slices.DeleteFunc(list, func(a account) bool { return a.Email == "" })
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no accounts", name)
	}
	logins := make([]string, len(list))
	for i, a := range list {
		logins[i] = a.Email
	}
	return logins, nil
}

// accounts chooses the account that a new connection logs in as. It is safe
// for concurrent use.
type accounts struct {
	logins []string

	mu   sync.Mutex // guards pick
	pick func() int
}

// newAccounts returns a choice among the logins: in turn if skew is 0, else
// the k-th most loaded account has a share in proportion to 1/k^skew.
// Which accounts those are is settled by the seed.
func newAccounts(logins []string, skew float64, seed uint64) *accounts {
	a := &accounts{logins: logins}
	if skew == 0 {
		next := -1
		a.pick = func() int {
			next = (next + 1) % len(logins)
			return next
		}
		return a
	}
	random := rand.New(rand.NewPCG(seed, 3))
	order := random.Perm(len(logins))
	zipf := rand.NewZipf(random, skew, 1, uint64(len(logins)-1))
	a.pick = func() int { return order[zipf.Uint64()] }
	return a
}

// next returns the index of an account.
func (a *accounts) next() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pick()
}
