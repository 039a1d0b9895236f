package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
)

// Basis is which file the accounts are in, and all that they are read with beside
// its text. What is equal in it gives equal accounts for equal text: an
// accountReader gets nothing else.
type Basis struct {
	// Path is the file, and its name in messages. Empty: there is no telling
	// where it is.
	Path string
	// StateDir is the directory for the copy that finishes a save that was cut
	// off; empty: there is none.
	StateDir string
	// Providers are the providers that an account may name.
	Providers map[string]*account.Provider
	// BindSourceIP has accounts keep their ip_address, which may be an IPv6 one
	// with IPv6 only.
	BindSourceIP, IPv6 bool
	// Keys open sealed values, and seal those that are not bound to their account
	// yet; may be nil.
	Keys *seal.Keyring
}

// readAccounts reads the accounts of f: an array, or an object with the array
// "accounts". Problems go to f; with any, the snapshot is nil.
func readAccounts(f *file, b *Basis) *account.Snapshot {
	f.keys = b.Keys
	array := accountArray(f)
	if array == nil {
		return nil
	}
	before := len(*f.problems)
	var accounts []*account.Account
	var found []spot           // of the accounts
	draft := new(accountDraft) // one for all: it is large
	for i, node := range array.Elements {
		r := &accountReader{f: f, node: node, basis: b, place: placeOf(i), draft: draft}
		if a := r.read(); a != nil {
			accounts = append(accounts, a)
			found = append(found, spot{i, f.line(node.StartOffset)})
		}
	}
	snapshot, err := account.NewSnapshot(accounts)
	addDuplicates(f, err, found)
	if len(*f.problems) > before {
		return nil
	}
	noteAccounts(f, snapshot)
	return snapshot
}

// spot is where an account stands in its file.
type spot struct{ index, line int }

// placeOf is what the keys of the account with that index are called.
func placeOf(index int) place { return place{fmt.Sprintf("accounts[%d].", index), "accounts[]."} }

// addDuplicates adds the problems of a snapshot of accounts that were found at
// these positions.
func addDuplicates(f *file, err error, found []spot) {
	for _, dup := range duplicates(err) {
		first, second := found[dup.First], found[dup.Second]
		f.problems.add(&Problem{File: f.name, Line: second.line, Key: placeOf(second.index).exact + dup.Field,
			Message: fmt.Sprintf("%q is in use already, by the account on line %d", dup.Value, first.line)})
	}
}

// accountArray finds the array of accounts; nil after a problem.
func accountArray(f *file) *hujson.Array {
	switch root := f.root.Value.(type) {
	case *hujson.Array:
		return root
	case *hujson.Object:
		var array *hujson.Array
		for i := range root.Members {
			name, node := memberName(root, i), root.Members[i].Value
			switch {
			case name == "accounts":
				var ok bool
				if array, ok = node.Value.(*hujson.Array); !ok {
					f.problem(node, "accounts", "must be an array of accounts")
					return nil
				}
			case !strings.HasPrefix(name, "_"):
				f.entry(node, printable(name), Unknown, "it has no effect")
			}
		}
		if array != nil {
			return array
		}
	}
	f.problem(f.root, "", `must be an array of accounts, or an object with the array "accounts"`)
	return nil
}

// duplicates takes the errors of a snapshot apart.
func duplicates(err error) []*account.DuplicateError {
	var dups []*account.DuplicateError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if dup, ok := errors.AsType[*account.DuplicateError](e); ok {
				dups = append(dups, dup)
			}
		}
	}
	return dups
}

// noteAccounts adds the line that counts the accounts.
func noteAccounts(f *file, s *account.Snapshot) {
	var names []string // in the order of their first account
	count := make(map[string]int)
	for _, a := range s.All() {
		if count[a.Provider]++; count[a.Provider] == 1 {
			names = append(names, a.Provider)
		}
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, count[name])
	}
	if len(names) == 0 {
		names = []string{"nobody can log in"}
	}
	f.report.notef("%s: accounts: %d (%s)", f.name, s.Len(), strings.Join(names, ", "))
}

// accountReader reads one account.
type accountReader struct {
	f      *file
	node   hujson.Value
	place  place
	basis  *Basis
	before int           // problems before this account
	by     claims        // of its keys
	draft  *accountDraft // room for it, shared with other readers; nil: none
}

// need adds a problem if the value for key is empty, unless there is one with
// the value that was given.
func (r *accountReader) need(key, have, why string) {
	path := r.place.exact + key
	known := slices.ContainsFunc((*r.f.problems)[r.before:], func(p *Problem) bool { return p.Key == path })
	if have == "" && !known {
		r.f.problem(r.node, path, "is needed%s", why)
	}
}

// read returns the account, or nil when it is too incomplete to tell it from
// others. Problems go to the file.
func (r *accountReader) read() *account.Account {
	r.before = len(*r.f.problems)
	if r.node.Value.Kind() != '{' {
		r.f.problem(r.node, strings.TrimSuffix(r.place.exact, "."), `must be an account, "{...}"`)
		return nil
	}
	d := r.draft
	if d == nil {
		d = new(accountDraft)
	}
	*d = accountDraft{}
	r.f.account = emailOf(r.node.Value.(*hujson.Object))
	r.by = accountTable.apply(r.f, r.node, r.place, d)
	a := &d.a
	r.need("email", a.Email, "")
	r.need("provider", a.Provider, "")
	p := r.basis.Providers[a.Provider]
	if p == nil {
		if a.Provider != "" {
			r.f.problem(r.node, r.place.exact+"provider", "%q is neither gmail nor outlook nor a section under providers in config.json", a.Provider)
		}
		if p = new(account.Provider); a.TokenFlow() == account.FlowRefreshToken {
			r.need("client_id", a.ClientID, "")
			r.need("refresh_token", d.refreshToken.value, "")
		}
	} else {
		r.resolve(d, p)
	}
	if a.Email == "" || a.ID == "" {
		return nil
	}
	alone := *a // the draft is used again
	return &alone
}

// resolve fills in what the provider p gives.
func (r *accountReader) resolve(d *accountDraft, p *account.Provider) {
	a := &d.a
	local, _, _ := strings.Cut(a.Email, "@")
	if a.ID == "" && a.Email != "" {
		a.ID = p.Name + "_" + strings.NewReplacer("@", "_", ".", "_").Replace(a.Email)
	}
	if a.VMTA == "" && a.Email != "" {
		a.VMTA = "vmta-" + p.Name + "-" + local
	}
	r.resolveFlow(d, p)
	r.resolveEndpoint(d, p)
	r.resolveSource(d)
	a.RefreshMargin = p.RefreshMargin
	a.Extensions = p.Extensions
	a.InitialResponse = p.InitialResponse
	a.Retry = p.Retry
	d.retry.settle(&a.Retry)
	d.settleLimits(p)
}

// fail adds a problem with the value for key.
func (r *accountReader) fail(key, format string, args ...any) {
	node := r.node
	if v := node.Find("/" + key); v != nil {
		node = *v
	}
	r.f.problem(node, r.place.exact+key, format, args...)
}

func (r *accountReader) resolveEndpoint(d *accountDraft, p *account.Provider) {
	d.a.SMTP = p.SMTP
	if d.endpoint.ok() {
		d.a.SMTP = d.endpoint.value
	}
	if d.tls.ok() {
		d.a.SMTP.TLS = d.tls.value
	}
	r.need("oauth_endpoint", d.a.SMTP.Host, fmt.Sprintf(", since providers.%s has no smtp_host", p.Name))
}

func (r *accountReader) resolveSecret(d *accountDraft, p *account.Provider) {
	if p.NeedsClientSecret && !d.certificate.ok() {
		r.need("client_secret", d.clientSecret.value, fmt.Sprintf(": %s refuses clients without one", p.Name))
	}
	omit := p.OmitClientSecret
	if d.sendSecret.ok() {
		omit = !d.sendSecret.value
	}
	if !omit {
		d.a.ClientSecret = account.NewSecret(d.clientSecret.value)
	} else if d.clientSecret.ok() {
		d.clientSecret.entry.Status = Ignored
		d.clientSecret.entry.Note = fmt.Sprintf("it is not sent to %s, as the original did not; send_client_secret changes that", p.Name)
	}
}

func (r *accountReader) resolveSource(d *accountDraft) {
	if !d.sourceIP.ok() {
		return
	}
	ip := d.sourceIP.value
	switch {
	case !r.basis.BindSourceIP:
		d.sourceIP.entry.Status, d.sourceIP.entry.Note = Ignored, "global.smtp.use_source_ip_binding is false"
	case ip.Is6() && !r.basis.IPv6:
		r.f.problem(r.node, r.place.exact+"ip_address", "%v is an IPv6 address; set global.smtp.use_ipv6 to true", ip)
	default:
		d.a.SourceIP = ip
	}
}

// settleLimits settles the limits of the account, whose provider is p.
func (d *accountDraft) settleLimits(p *account.Provider) {
	l, ceilings := p.Limits, p.Ceilings
	settle(&l.MaxConnections, d.limits.maxConnections, ceilings.MaxConnections)
	if concurrent := d.limits.maxConcurrent; concurrent.ok() {
		switch {
		case concurrent.value <= l.MaxConnections:
		case l.MaxConnections == ceilings.MaxConnections.Max:
			concurrent.entry.clamp(l.MaxConnections, ceilings.MaxConnections.Reason)
		default:
			concurrent.entry.clamp(l.MaxConnections, "the connections of the account or of its provider are set lower")
		}
		l.MaxConnections = min(l.MaxConnections, concurrent.value)
	}
	d.limits.settle(&l, &ceilings)
	if d.hourly.ok() {
		own := d.limits.perHour // as it is after rate_limiting.enabled
		if own.value > 0 && (own.value < d.hourly.value || d.hourly.value == 0) {
			d.hourly.entry.clamp(own.value, own.entry.Key+" is lower")
		} else {
			l.MessagesPerHour = d.hourly.value
		}
	}
	d.a.Limits = l
}
