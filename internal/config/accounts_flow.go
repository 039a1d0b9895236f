package config

import (
	"fmt"
	"slices"

	"xoauth2-proxy/internal/account"
)

// resolveFlow settles how the account gets its tokens. Of what the account says,
// only what its flow uses becomes part of it.
func (r *accountReader) resolveFlow(d *accountDraft, p *account.Provider) {
	a, flow := &d.a, d.a.TokenFlow()
	r.noteUnused(d, flow)
	r.resolveTokenURL(d, p)
	switch flow {
	case account.FlowRefreshToken:
		a.Scope = p.Scope
		r.need("client_id", a.ClientID, "")
		r.need("refresh_token", d.refreshToken.value, "")
		a.RefreshToken = account.NewSecret(d.refreshToken.value)
		r.resolveClient(d)
		r.resolveSecret(d, p)
	case account.FlowClientCredentials:
		r.need("client_id", a.ClientID, "")
		r.resolveClient(d)
		a.ClientSecret = account.NewSecret(d.clientSecret.value)
		if a.Certificate == "" {
			r.need("client_secret", d.clientSecret.value, " for client_credentials, or client_certificate with client_private_key")
		}
	case account.FlowServiceAccount:
		r.resolveServiceAccount(d)
	case account.FlowExternal:
		a.ClientSecret = account.NewSecret(d.clientSecret.value)
		a.TokenCommand = d.command.value
	}
	if d.scope.ok() {
		a.Scope = d.scope.value
	}
	if d.keepAlive.ok() {
		a.KeepAlive = orNever(d.keepAlive.value)
	}
	p.FillFlow(a)
	r.resolveCatchAll(d)
}

// resolveTokenURL settles the token endpoint.
func (r *accountReader) resolveTokenURL(d *accountDraft, p *account.Provider) {
	a := &d.a
	a.TokenURL = d.tokenURL.value
	if a.Flow == account.FlowExternal {
		switch {
		case d.command.ok() && d.tokenURL.ok():
			r.fail("token_command", "is given and so is oauth_token_url; external tokens come from one of them")
		case !d.command.ok():
			r.need("token_command", a.TokenURL, " for external tokens, or oauth_token_url")
		}
		return
	}
	_, hasTenants := p.ForTenant("x")
	if d.tenant.ok() {
		own, ok := p.ForTenant(d.tenant.value)
		if !ok {
			r.fail("tenant", "%q is no tenant of %s", d.tenant.value, p.Name)
		}
		p = &own
	} else if hasTenants && !d.tokenURL.ok() && a.Flow == account.FlowClientCredentials {
		r.need("tenant", "", " for client_credentials: Microsoft gives an application tokens in its own tenant only")
	}
	switch {
	case d.tokenURL.ok():
	case a.Flow == account.FlowServiceAccount && d.serviceAccount.value.TokenURL != "":
		a.TokenURL = d.serviceAccount.value.TokenURL
	default:
		a.TokenURL = p.TokenURLFor(a.Email)
	}
	r.need("oauth_token_url", a.TokenURL, fmt.Sprintf(", since providers.%s has no token_url", p.Name))
}

// resolveClient settles how the client signs, if it does.
func (r *accountReader) resolveClient(d *accountDraft) {
	switch {
	case d.certificate.ok() && !d.privateKey.ok():
		r.need("client_private_key", "", " with client_certificate")
	case d.privateKey.ok() && !d.certificate.ok():
		r.need("client_certificate", "", " with client_private_key")
	}
	d.a.Certificate, d.a.PrivateKey = d.certificate.value, account.NewSecret(d.privateKey.value)
}

// resolveServiceAccount settles the service account, whose key file comes after
// what the account says itself.
func (r *accountReader) resolveServiceAccount(d *accountDraft) {
	a, sa := &d.a, &d.serviceAccount.value
	if a.ClientID == "" {
		a.ClientID = sa.Email
	}
	a.PrivateKey, a.PrivateKeyID = sa.PrivateKey, sa.PrivateKeyID
	if d.privateKey.ok() {
		a.PrivateKey, a.PrivateKeyID = account.NewSecret(d.privateKey.value), ""
	}
	if d.keyID.ok() {
		a.PrivateKeyID = d.keyID.value
	}
	a.Subject = d.subject.value
	if a.PrivateKey.IsZero() {
		r.need("service_account_key", "", ", or client_id with client_private_key")
	} else {
		r.need("client_id", a.ClientID, "")
	}
}

// resolveCatchAll checks an account of a whole domain.
func (r *accountReader) resolveCatchAll(d *accountDraft) {
	a := &d.a
	if err := a.CheckCatchAll(); err != nil {
		r.fail("email", "%v", err)
	}
	if e := r.by[&a.AuthIdentity]; e != nil && a.IsCatchAll() {
		e.Status, e.Note = Ignored, "the name that clients log in with is the mailbox"
	}
}

// noteUnused says of what is given which the flow does not use.
func (r *accountReader) noteUnused(d *accountDraft, flow account.Flow) {
	const (
		refresh  = account.FlowRefreshToken
		app      = account.FlowClientCredentials
		service  = account.FlowServiceAccount
		external = account.FlowExternal
	)
	for _, k := range []struct {
		field any
		flows []account.Flow // that use it
	}{
		{&d.a.ClientID, []account.Flow{refresh, app, service}},
		{&d.clientSecret, []account.Flow{refresh, app, external}},
		{&d.refreshToken, []account.Flow{refresh}},
		{&d.certificate, []account.Flow{refresh, app}},
		{&d.privateKey, []account.Flow{refresh, app, service}},
		{&d.keyID, []account.Flow{service}},
		{&d.serviceAccount, []account.Flow{service}},
		{&d.subject, []account.Flow{service}},
		{&d.command, []account.Flow{external}},
		{&d.tenant, []account.Flow{refresh, app}},
		{&d.sendSecret, []account.Flow{refresh}},
		{&d.keepAlive, []account.Flow{refresh}},
	} {
		if e := r.by[k.field]; e != nil && !slices.Contains(k.flows, flow) {
			e.Status, e.Note = Ignored, fmt.Sprintf("oauth_flow %s does not use it", flow)
		}
	}
	if flow == external {
		d.a.ClientID = ""
	}
}
