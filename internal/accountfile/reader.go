package accountfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// accountReader reads one account.
type accountReader struct {
	f      *keyfile.File
	node   hujson.Value
	place  keyfile.Place
	basis  *Basis
	before int            // problems before this account
	by     keyfile.Claims // of its keys
	draft  *accountDraft  // room, shared with other readers; nil: none
}

// need adds a problem if the value for key is empty, unless there is a problem with
// the value already.
func (r *accountReader) need(key, have, why string) {
	path := r.place.Exact + key
	known := slices.ContainsFunc((*r.f.Problems)[r.before:], func(p *keyfile.Problem) bool { return p.Key == path })
	if have == "" && !known {
		r.f.Problem(r.node, path, "is needed%s", why)
	}
}

// read returns the account; nil if it lacks the names that tell it from others.
// Problems go to the file.
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
	r.checkSigning(a)
	alone := *a // the draft is used again
	return &alone
}

// checkSigning finds keys that the account cannot sign with, unless there are problems
// with it already.
func (r *accountReader) checkSigning(a *account.Account) {
	if r.basis.Signing == nil || len(*r.f.Problems) > r.before || r.f.Unresolved {
		return
	}
	if err := r.basis.Signing.CheckKeys(a); err != nil {
		r.f.Problem(r.node, strings.TrimSuffix(r.place.Exact, "."), "%s: %v", a.Email, err)
	}
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
	a.Senders = account.NewSenders(d.senders.Value)
	a.RefreshMargin = p.RefreshMargin
	a.Extensions = p.Extensions
	a.AnnouncedSize = p.AnnouncedSize
	a.InitialResponse, a.Avoid = p.InitialResponse, p.Avoid
	a.ClientAuth = p.ClientAuth
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
