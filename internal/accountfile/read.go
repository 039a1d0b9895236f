package accountfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// spot is where an account stands in its file.
type spot struct{ index, line int }

// placeOf is what the keys of the account with that index are called.
func placeOf(index int) keyfile.Place {
	return keyfile.Place{Exact: fmt.Sprintf("accounts[%d].", index), General: "accounts[]."}
}

// addDuplicates adds the problems of a snapshot of accounts that were found at
// these positions.
func addDuplicates(f *keyfile.File, err error, found []spot) {
	for _, dup := range duplicates(err) {
		first, second := found[dup.First], found[dup.Second]
		f.Problems.Add(&keyfile.Problem{File: f.Name, Line: second.line, Key: placeOf(second.index).Exact + dup.Field,
			Message: fmt.Sprintf("%q is in use already, by the account on line %d", dup.Value, first.line)})
	}
}

// accountArray finds the array of accounts: the file itself, or "accounts" in the
// object that it is; nil after a problem.
func accountArray(f *keyfile.File) (array *hujson.Value) {
	switch root := f.Root.Value.(type) {
	case *hujson.Array:
		return &f.Root
	case *hujson.Object:
		for i := range root.Members {
			name, node := keyfile.MemberName(root, i), &root.Members[i].Value
			switch {
			case name == "accounts":
				if node.Value.Kind() != '[' {
					f.Problem(*node, "accounts", "must be an array of accounts")
					return nil
				}
				array = node
			case !strings.HasPrefix(name, "_"):
				f.AddEntry(*node, keyfile.Printable(name), keyfile.Unknown, "it has no effect")
			}
		}
		if array != nil {
			return array
		}
	}
	f.Problem(f.Root, "", `must be an array of accounts, or an object with the array "accounts"`)
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
func noteAccounts(f *keyfile.File, s *account.Snapshot) {
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
	f.Report.Notef("%s: accounts: %d (%s)", f.Name, s.Len(), strings.Join(names, ", "))
}

// accountReader reads one account.
type accountReader struct {
	f      *keyfile.File
	node   hujson.Value
	place  keyfile.Place
	basis  *Basis
	before int            // problems before this account
	by     keyfile.Claims // of its keys
	draft  *accountDraft  // room for it, shared with other readers; nil: none
}

// need adds a problem if the value for key is empty, unless there is one with
// the value that was given.
func (r *accountReader) need(key, have, why string) {
	path := r.place.Exact + key
	known := slices.ContainsFunc((*r.f.Problems)[r.before:], func(p *keyfile.Problem) bool { return p.Key == path })
	if have == "" && !known {
		r.f.Problem(r.node, path, "is needed%s", why)
	}
}

// read returns the account, or nil when it is too incomplete to tell it from
// others. Problems go to the file.
func (r *accountReader) read() *account.Account {
	r.before = len(*r.f.Problems)
	if r.node.Value.Kind() != '{' {
		r.f.Problem(r.node, strings.TrimSuffix(r.place.Exact, "."), `must be an account, "{...}"`)
		return nil
	}
	d := r.draft
	if d == nil {
		d = new(accountDraft)
	}
	*d = accountDraft{}
	r.f.Account = emailOf(r.node.Value.(*hujson.Object))
	r.by = accountTable.Apply(r.f, r.node, r.place, d)
	a := &d.a
	r.need("email", a.Email, "")
	r.need("provider", a.Provider, "")
	p := r.basis.Providers[a.Provider]
	if p == nil {
		if a.Provider != "" {
			r.f.Problem(r.node, r.place.Exact+"provider", "%q is neither gmail nor outlook nor a section under providers in config.json", a.Provider)
		}
		if p = new(account.Provider); a.TokenFlow() == account.FlowRefreshToken {
			r.need("client_id", a.ClientID, "")
			r.need("refresh_token", d.refreshToken.Value, "")
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
	d.retry.Settle(&a.Retry)
	d.settleLimits(p)
}

// fail adds a problem with the value for key.
func (r *accountReader) fail(key, format string, args ...any) {
	node := r.node
	if v := node.Find("/" + key); v != nil {
		node = *v
	}
	r.f.Problem(node, r.place.Exact+key, format, args...)
}

func (r *accountReader) resolveEndpoint(d *accountDraft, p *account.Provider) {
	d.a.SMTP = p.SMTP
	if d.endpoint.OK() {
		d.a.SMTP = d.endpoint.Value
	}
	if d.tls.OK() {
		d.a.SMTP.TLS = d.tls.Value
	}
	r.need("oauth_endpoint", d.a.SMTP.Host, fmt.Sprintf(", since providers.%s has no smtp_host", p.Name))
}

func (r *accountReader) resolveSecret(d *accountDraft, p *account.Provider) {
	if p.NeedsClientSecret && !d.certificate.OK() {
		r.need("client_secret", d.clientSecret.Value, fmt.Sprintf(": %s refuses clients without one", p.Name))
	}
	omit := p.OmitClientSecret
	if d.sendSecret.OK() {
		omit = !d.sendSecret.Value
	}
	if !omit {
		d.a.ClientSecret = account.NewSecret(d.clientSecret.Value)
	} else if d.clientSecret.OK() {
		d.clientSecret.Entry.Status = keyfile.Ignored
		d.clientSecret.Entry.Note = fmt.Sprintf("it is not sent to %s, as the original did not; send_client_secret changes that", p.Name)
	}
}

func (r *accountReader) resolveSource(d *accountDraft) {
	if !d.sourceIP.OK() {
		return
	}
	ip := d.sourceIP.Value
	switch {
	case !r.basis.BindSourceIP:
		d.sourceIP.Entry.Status, d.sourceIP.Entry.Note = keyfile.Ignored, "global.smtp.use_source_ip_binding is false"
	case ip.Is6() && !r.basis.IPv6:
		r.f.Problem(r.node, r.place.Exact+"ip_address", "%v is an IPv6 address; set global.smtp.use_ipv6 to true", ip)
	default:
		d.a.SourceIP = ip
	}
}

// settleLimits settles the limits of the account, whose provider is p.
func (d *accountDraft) settleLimits(p *account.Provider) {
	l, ceilings := p.Limits, p.Ceilings
	accountkeys.Settle(&l.MaxConnections, d.limits.MaxConnections, ceilings.MaxConnections)
	if concurrent := d.limits.MaxConcurrent; concurrent.OK() {
		switch {
		case concurrent.Value <= l.MaxConnections:
		case l.MaxConnections == ceilings.MaxConnections.Max:
			concurrent.Entry.Clamp(l.MaxConnections, ceilings.MaxConnections.Reason)
		default:
			concurrent.Entry.Clamp(l.MaxConnections, "the connections of the account or of its provider are set lower")
		}
		l.MaxConnections = min(l.MaxConnections, concurrent.Value)
	}
	d.limits.Settle(&l, &ceilings)
	if d.hourly.OK() {
		own := d.limits.PerHour // as it is after rate_limiting.enabled
		if own.Value > 0 && (own.Value < d.hourly.Value || d.hourly.Value == 0) {
			d.hourly.Entry.Clamp(own.Value, own.Entry.Key+" is lower")
		} else {
			l.MessagesPerHour = d.hourly.Value
		}
	}
	d.a.Limits = l
}

// emailOf returns the email of an account as a reader of the file takes it: of
// several, the last one that is not null.
func emailOf(o *hujson.Object) string {
	for i := len(o.Members) - 1; i >= 0; i-- {
		if keyfile.MemberName(o, i) != "email" || keyfile.IsNull(&o.Members[i].Value) {
			continue
		}
		if lit, ok := o.Members[i].Value.Value.(hujson.Literal); ok && lit.Kind() == '"' {
			return strings.TrimSpace(lit.String())
		}
		return ""
	}
	return ""
}
