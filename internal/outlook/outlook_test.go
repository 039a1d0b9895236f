package outlook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/forecast"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
)

const testDay = 24 * time.Hour

// A fate is an account of the 90 days, with what is done and what becomes of it.
type fate struct {
	kind     forecast.Kind // of the forecast; "": none is made while the proxy runs
	ends     time.Duration // since the start; 0: never
	uses     []time.Duration
	always   bool          // mail is sent every few hours
	moved    time.Duration // until then another end was forecast, which something that was done put off
	account  sandbox.Account
	client   *sandbox.Client // the account is its own client
	provider string          // "": the sandbox's
	change   func(*account.Account)
}

const (
	idleOutlook = 90 * testDay
	idleShort   = 20 * testDay // of the provider "short"
)

// fates are the accounts by the name before "@". Of two that end alike, one is used an hour
// before the end and works, the other one an hour after and does not.
func fates(start time.Time, certificate, key string) map[string]*fate {
	off := func(a *account.Account) { a.KeepAlive = -1 }
	outlook := sandbox.Account{Provider: sandbox.PresetOutlook, RefreshIdle: sandbox.Duration(idleOutlook)}
	short := outlook
	short.RefreshIdle = sandbox.Duration(idleShort)
	testing := sandbox.Account{Provider: sandbox.PresetGmail, ClientSecret: "canary", RefreshLife: sandbox.Duration(7 * testDay)}
	spa := outlook
	spa.RefreshLife = sandbox.Duration(testDay)
	secret := outlook
	secret.ClientID, secret.ClientSecret, secret.SecretEnds = "shared", "canary", start.Add(45*testDay)
	until := func(end time.Duration) func(*account.Account) {
		return func(a *account.Account) { a.SecretExpires = start.Add(end) }
	}
	app := func(id string, end time.Time) *sandbox.Client {
		return &sandbox.Client{ID: id, Secret: "canary-" + id, SecretEnds: end}
	}
	return map[string]*fate{
		"kept":    {account: outlook},
		"in-use":  {account: outlook, always: true, change: off},
		"unused":  {kind: forecast.TokenUnused, ends: idleOutlook, uses: []time.Duration{0, idleOutlook + time.Hour}, account: outlook, change: off},
		"in-time": {uses: []time.Duration{0, idleOutlook - time.Hour}, moved: idleOutlook, account: outlook, change: off},
		"again":   {uses: []time.Duration{0, 30 * testDay, idleOutlook + time.Hour}, moved: idleOutlook, account: outlook, change: off},
		"too-late": {kind: forecast.TokenUnused, ends: idleShort, uses: []time.Duration{0}, account: short, provider: "short",
			change: func(a *account.Account) { a.KeepAlive = 30 * testDay }},
		"testing":      {kind: forecast.TokenEnds, ends: 7 * testDay, always: true, account: testing},
		"testing-idle": {kind: forecast.TokenEnds, ends: 7 * testDay, uses: []time.Duration{0, 7*testDay + time.Hour}, account: testing},
		"spa":          {kind: forecast.TokenEnds, ends: testDay, always: true, account: spa},
		"secret-a":     {kind: forecast.ClientSecret, ends: 45 * testDay, always: true, account: secret, change: until(45 * testDay)},
		"secret-b":     {kind: forecast.ClientSecret, ends: 45 * testDay, always: true, account: secret, change: until(45 * testDay)},
		"app": {kind: forecast.ClientSecret, ends: 60 * testDay, always: true, account: outlook, client: app("app", start.Add(60*testDay)),
			change: until(60 * testDay)},
		"renewed": {always: true, moved: 30 * testDay, account: outlook, client: app("renewed", start.Add(30*testDay)), change: until(30 * testDay)},
		"certificate": {kind: forecast.ClientCertificate, ends: 75 * testDay, always: true, account: outlook,
			client: &sandbox.Client{ID: "certificate", Certificate: certificate},
			change: func(a *account.Account) { a.Certificate, a.PrivateKey = certificate, account.NewSecret(key) }},
	}
}

// days is the proxy's part that fetches tokens and forecasts, in virtual time.
type days struct {
	t        *testing.T
	provider *sandbox.Server
	clock    *atomic.Int64 // of the provider
	start    time.Time
	settings *config.Settings
	fates    map[string]*fate
	store    *account.Store
	parts    *Parts
	kept     *tokenstore.Store

	forecast map[string]forecast.Ending        // the last one of each account, by name
	before   map[string]map[time.Duration]bool // all ends that were forecast, by account, since the start
	failed   map[string]time.Time              // when each account first failed
}

// run starts the parts, or starts them again.
func (d *days) run() {
	cfg := oauth.DefaultConfig()
	var err error
	if d.kept, err = tokenstore.Open(tokenstore.Config{Path: d.settings.OAuth.TokenStore}); err != nil {
		d.t.Fatal(err)
	}
	cfg.Store = d.kept
	tokens := oauth.New(cfg, nil, nil)
	tokens.Retain(d.store.Load())
	d.parts = &Parts{Settings: func() *config.Settings { return d.settings }, Accounts: d.store, Tokens: tokens}
}

func (d *days) stop() {
	d.parts.Tokens.Close()
	if err := d.kept.Close(); err != nil {
		d.t.Error(err)
	}
}

// use gets a token as a login does, and notes why there is none.
func (d *days) use(name string) {
	a, _ := d.store.Load().ByID(name)
	_, _ = d.parts.Tokens.Source(a).Get(context.Background())
}

// look does what is done at a time, looks at the accounts, and forecasts.
func (d *days) look(now time.Duration) {
	for name, f := range d.fates {
		if f.always || slices.Contains(f.uses, now) {
			d.use(name)
		}
	}
	for name := range d.fates {
		if st, _ := d.parts.Tokens.State(name); st.LastError != nil && d.failed[name].IsZero() {
			d.failed[name] = time.Now()
		}
	}
	seen := make(map[string]forecast.Ending)
	for _, e := range d.parts.Forecast(time.Now()).Endings {
		for _, email := range e.Accounts {
			a, _ := d.store.Load().ByLogin([]byte(email))
			if _, ok := seen[a.ID]; !ok { // the first one counts
				seen[a.ID] = e
				d.before[a.ID][e.At.Sub(d.start).Round(time.Hour)] = true
			}
		}
	}
	if d.forecast = seen; now%testDay == 0 {
		d.check(now)
	}
}

// check holds the forecast of a day against what will become of the accounts.
func (d *days) check(now time.Duration) {
	for name, f := range d.fates {
		e, ok := d.forecast[name]
		switch {
		case now == 0 && f.kind == forecast.TokenUnused: // it was used a moment ago
		case f.ends > now:
			if off := e.At.Sub(d.start.Add(f.ends)).Abs(); !ok || e.Kind != f.kind || off > time.Hour {
				d.t.Errorf("day %d: %s ends at %v by %s: forecast was %v, %s", now/testDay, name, d.start.Add(f.ends), f.kind, e.At, e.Kind)
			}
		case f.ends == 0 && f.moved == 0 && ok && e.At.Before(d.start.Add(91*testDay)):
			d.t.Errorf("day %d: %s does not end: forecast was %v, %s", now/testDay, name, e.At, e.Kind)
		}
	}
}

// sleepUntil goes on to a time since the start. The provider's clock goes with it.
func (d *days) sleepUntil(at time.Duration) {
	for left := at - time.Since(d.start); left > 0; left = at - time.Since(d.start) {
		time.Sleep(min(left, 4*time.Minute)) // assertions may be 5 minutes off
		d.clock.Store(time.Now().UnixNano())
	}
	synctest.Wait()
}

// TestNinetyDays: over 90 days of virtual time each failure of an account was forecast from
// the first day on, with its day and its kind; each forecast came true, unless something was
// done. Real are the token manager with its keep-alive, the token store, the requests and the
// provider's token endpoint, which ends tokens and secrets by itself.
func TestNinetyDays(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of a bubble
	certificate, key := testkit.PEM(testkit.CertificateUntil(start.Add(75*testDay), "client.example.com"))
	d := &days{t: t, clock: new(atomic.Int64), start: start, fates: fates(start, string(certificate), string(key)),
		before: make(map[string]map[time.Duration]bool), failed: make(map[string]time.Time)}
	d.clock.Store(start.UnixNano())
	cfg := sandbox.Config{Limits: "off", Now: func() time.Time { return time.Unix(0, d.clock.Load()).UTC() }}
	for name, f := range d.fates {
		f.account.ID, f.account.Email = name, name+"@example.com"
		cfg.Accounts = append(cfg.Accounts, f.account)
		d.before[name] = make(map[time.Duration]bool)
		if f.client != nil {
			cfg.Clients = append(cfg.Clients, *f.client)
		}
	}
	d.provider = provider.Start(t, cfg)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d.t = t
		server := testkit.CertificateUntil(start.Add(50*testDay), "proxy.example.com")
		authority := testkit.CertificateUntil(start.Add(80*testDay), "authority.example.com")
		for name, c := range map[string]tls.Certificate{"server.crt": server, "ca.pem": authority} {
			if err := os.WriteFile(filepath.Join(dir, name), testkit.PublicPEM(c), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d.settings = &config.Settings{Providers: make(map[string]*account.Provider)}
		d.settings.OAuth.TokenStore = filepath.Join(dir, "tokens.db")
		d.settings.Server.CertFile, d.settings.OAuth.CAFile = filepath.Join(dir, "server.crt"), filepath.Join(dir, "ca.pem")
		gmail, outlook, short := account.Gmail(), account.Outlook(), account.Outlook()
		short.RefreshIdle = idleShort
		d.settings.Providers = map[string]*account.Provider{"gmail": &gmail, "outlook": &outlook, "short": &short}
		d.store = account.NewStore(d.snapshot(nil))
		d.run()
		for h := range time.Duration(91*24 + 3) {
			now := h * time.Hour
			if !d.isTime(now) {
				continue
			}
			switch d.sleepUntil(now); now {
			case 25 * testDay: // the operator renews a secret in time
				d.renew("renewed", 400*testDay)
			case 40 * testDay: // a restart forgets nothing
				d.stop()
				d.run()
			}
			if d.look(now); now%testDay == 0 {
				d.checkCertificate(forecast.ServerCertificate, server.Leaf)
				d.checkCertificate(forecast.CACertificate, authority.Leaf)
			}
		}
		d.checkAll()
		d.checkStopped()
	})
}

// isTime reports whether something is done at a time, or looked at.
func (d *days) isTime(now time.Duration) bool {
	if now%(6*time.Hour) == 0 {
		return true
	}
	for _, f := range d.fates {
		if slices.Contains(f.uses, now) || slices.Contains(f.uses, now-time.Hour) {
			return true
		}
	}
	return false
}

// snapshot returns the accounts of the proxy.
func (d *days) snapshot(change func(*account.Account)) *account.Snapshot {
	var all []*account.Account
	for _, name := range slices.Sorted(maps.Keys(d.fates)) {
		f := d.fates[name]
		a := provider.Account(d.t, d.provider, name+"@example.com")
		if f.provider != "" {
			a.Provider = f.provider
		}
		if f.client != nil {
			a.Flow, a.ClientID, a.RefreshToken = account.FlowClientCredentials, f.client.ID, account.Secret{}
			a.ClientSecret, a.Scope = account.NewSecret(f.client.Secret), "https://outlook.office365.com/.default"
		}
		if a.RefreshMargin = 10 * time.Minute; f.change != nil {
			f.change(a)
		}
		d.settings.Providers[a.Provider].FillFlow(a)
		if change != nil {
			change(a)
		}
		if f.client == nil { // a rotated token must not look configured
			a.RefreshToken = account.NewSecret("sandbox-refresh-" + name)
		}
		all = append(all, a)
	}
	snap, err := account.NewSnapshot(all)
	if err != nil {
		d.t.Fatal(err)
	}
	return snap
}

// renew gives a client a new secret, at the provider and in the accounts.
func (d *days) renew(name string, ends time.Duration) {
	c := *d.fates[name].client
	c.Secret, c.SecretEnds = "canary-new", d.start.Add(ends)
	if err := d.provider.AddClient(c); err != nil {
		d.t.Fatal(err)
	}
	snap := d.snapshot(func(a *account.Account) {
		if a.ID == name {
			a.ClientSecret, a.SecretExpires = account.NewSecret(c.Secret), c.SecretEnds
		}
	}).Reusing(d.store.Load())
	d.parts.Tokens.Retain(snap)
	d.store.Swap(snap)
}

// checkCertificate holds the forecast of a certificate against what TLS says of it now.
func (d *days) checkCertificate(kind forecast.Kind, c *x509.Certificate) {
	roots := x509.NewCertPool()
	roots.AddCert(c)
	_, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	for _, e := range d.parts.Forecast(time.Now()).Endings {
		if e.Kind == kind {
			if !e.At.Equal(c.NotAfter) || (err != nil) != time.Now().After(e.At) {
				d.t.Errorf("%v: %s ends at %v by the forecast; TLS says %v", time.Since(d.start), kind, e.At, err)
			}
			return
		}
	}
	d.t.Errorf("%v: %s is not forecast", time.Since(d.start), kind)
}

// checkAll holds what became of the accounts against what was forecast.
func (d *days) checkAll() {
	for name, f := range d.fates {
		at, failed := d.failed[name]
		late := at.Sub(d.start.Add(f.ends))
		switch {
		case f.ends == 0 && failed:
			d.t.Errorf("%s failed after %v", name, at.Sub(d.start))
		case f.kind == forecast.TokenUnused && f.uses[len(f.uses)-1] == 0 && failed && late >= 0 && late < 10*testDay: // keep-alive found out
		case f.ends > 0 && (!failed || late < 0 || late > 7*time.Hour):
			d.t.Errorf("%s was to fail after %v: %v, after %v", name, f.ends, failed, at.Sub(d.start))
		}
		if f.moved > 0 && !d.before[name][f.moved] {
			d.t.Errorf("%s: an end after %v was not forecast before something was done: %v", name, f.moved, d.before[name])
		}
	}
}

// checkStopped: without the proxy nothing uses the tokens, and each one ends on the day that
// is forecast from the files.
func (d *days) checkStopped() {
	d.stop()
	f, err := OfFiles(d.settings, d.store.Load(), time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	ends := make(map[string]time.Time)
	for _, e := range f.Endings {
		if e.Kind == forecast.TokenUnused {
			ends[e.Accounts[0]] = e.At
		}
	}
	for _, tt := range []struct {
		name  string
		works bool
	}{{"kept", true}, {"in-use", false}} { // in the order of their ends
		name, works := tt.name, tt.works
		end := ends[name+"@example.com"]
		if left := end.Sub(f.At); left < 30*testDay || left > idleOutlook {
			d.t.Errorf("%s ends in %v by the files", name, left)
		}
		at := end.Add(-time.Hour)
		if !works {
			at = end.Add(time.Hour)
		}
		d.sleepUntil(at.Sub(d.start))
		d.run()
		d.use(name)
		if st, _ := d.parts.Tokens.State(name); (st.LastError == nil) != works {
			d.t.Errorf("%s, an hour from its end by the files: %v", name, st.LastError)
		}
		d.stop()
	}
	if len(f.Notes) != 1 || f.Notes[0] != noCounts {
		d.t.Error(fmt.Sprint("notes: ", f.Notes))
	}
}
