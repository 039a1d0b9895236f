package accountfile

import (
	"fmt"
	"slices"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// resolveFlow settles how the account gets its tokens. Only keys that its flow uses
// become part of the account.
func (r *accountReader) resolveFlow(d *accountDraft, p *account.Provider) {
	a, flow := &d.a, d.a.TokenFlow()
	r.noteUnused(d, flow)
	r.resolveTokenURL(d, p)
	switch flow {
	case account.FlowRefreshToken:
		a.Scope = p.Scope
		r.need("client_id", a.ClientID, "")
		r.need("refresh_token", d.refreshToken.Value, "")
		a.RefreshToken = account.NewSecret(d.refreshToken.Value)
		r.resolveClient(d)
		r.resolveSecret(d, p)
	case account.FlowClientCredentials:
		r.need("client_id", a.ClientID, "")
		r.resolveClient(d)
		a.ClientSecret = account.NewSecret(d.clientSecret.Value)
		if a.Certificate == "" {
			r.need("client_secret", d.clientSecret.Value, " for client_credentials, or client_certificate with client_private_key")
		}
	case account.FlowServiceAccount:
		r.resolveServiceAccount(d)
	case account.FlowExternal:
		a.ClientSecret = account.NewSecret(d.clientSecret.Value)
		a.TokenCommand = d.command.Value
	}
	if d.scope.OK() {
		a.Scope = d.scope.Value
	}
	switch {
	case !a.ClientSecret.IsZero():
		a.SecretExpires = d.secretExpires.Value
	case d.secretExpires.OK():
		d.secretExpires.Entry.Status, d.secretExpires.Entry.Note = keyfile.Ignored, "no client_secret is sent"
	}
	if d.keepAlive.OK() {
		a.KeepAlive = accountkeys.OrNever(d.keepAlive.Value)
	}
	p.FillFlow(a)
	r.resolveCatchAll(d)
}

// resolveTokenURL settles the token endpoint.
func (r *accountReader) resolveTokenURL(d *accountDraft, p *account.Provider) {
	a := &d.a
	a.TokenURL = d.tokenURL.Value
	if a.Flow == account.FlowExternal {
		switch {
		case d.command.OK() && d.tokenURL.OK():
			r.fail("token_command", "is given and so is oauth_token_url; external tokens come from one of them")
		case !d.command.OK():
			r.need("token_command", a.TokenURL, " for external tokens, or oauth_token_url")
		}
		return
	}
	_, hasTenants := p.ForTenant("x")
	if d.tenant.OK() {
		a.Tenant = d.tenant.Value
		own, ok := p.ForTenant(d.tenant.Value)
		if !ok {
			r.fail("tenant", "%q is no tenant of %s", d.tenant.Value, p.Name)
		}
		p = &own
	} else if hasTenants && !d.tokenURL.OK() && a.Flow == account.FlowClientCredentials {
		r.need("tenant", "", " for client_credentials: Microsoft gives an application tokens in its own tenant only")
	}
	switch {
	case d.tokenURL.OK():
	case a.Flow == account.FlowServiceAccount && d.serviceAccount.Value.TokenURL != "":
		a.TokenURL = d.serviceAccount.Value.TokenURL
	default:
		a.TokenURL = p.TokenURLFor(a.Email)
	}
	r.need("oauth_token_url", a.TokenURL, fmt.Sprintf(", since providers.%s has no token_url", p.Name))
}

// resolveClient settles how the client signs, if it does.
func (r *accountReader) resolveClient(d *accountDraft) {
	switch {
	case d.certificate.OK() && !d.privateKey.OK():
		r.need("client_private_key", "", " with client_certificate")
	case d.privateKey.OK() && !d.certificate.OK():
		r.need("client_certificate", "", " with client_private_key")
	}
	d.a.Certificate, d.a.PrivateKey = d.certificate.Value, account.NewSecret(d.privateKey.Value)
}

// resolveServiceAccount settles the service account. Keys of the account win over
// its key file.
func (r *accountReader) resolveServiceAccount(d *accountDraft) {
	a, sa := &d.a, &d.serviceAccount.Value
	if a.ClientID == "" {
		a.ClientID = sa.Email
	}
	a.PrivateKey, a.PrivateKeyID = sa.PrivateKey, sa.PrivateKeyID
	if d.privateKey.OK() {
		a.PrivateKey, a.PrivateKeyID = account.NewSecret(d.privateKey.Value), ""
	}
	if d.keyID.OK() {
		a.PrivateKeyID = d.keyID.Value
	}
	a.Subject = d.subject.Value
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
		e.Status, e.Note = keyfile.Ignored, "the name that clients log in with is the mailbox"
	}
}

// noteUnused marks the keys that the flow does not use.
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
		{&d.secretExpires, []account.Flow{refresh, app, external}},
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
			e.Status, e.Note = keyfile.Ignored, fmt.Sprintf("oauth_flow %s does not use it", flow)
		}
	}
	if flow == external {
		d.a.ClientID = ""
	}
}
