package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what ends.
type Kind string

// The kinds, as in metrics and JSON.
const (
	// TokenUnused: a refresh token ends because it is not used.
	TokenUnused Kind = "refresh_token_unused"
	// TokenEnds: a refresh token ends at the time that its provider gave.
	TokenEnds Kind = "refresh_token_ends"
	// ClientSecret: the secret of an OAuth client ends.
	ClientSecret Kind = "client_secret"
	// ClientCertificate: the certificate that a client signs with ends.
	ClientCertificate Kind = "client_certificate"
	// ServerCertificate: the certificate for clients of the proxy ends.
	ServerCertificate Kind = "server_certificate"
	// CACertificate: a certificate authority that a file names ends.
	CACertificate Kind = "ca_certificate"
	// DailyLimit: a limit of a day will be used up.
	DailyLimit Kind = "daily_limit"
)

// Kinds are all kinds.
var Kinds = []Kind{
	TokenUnused, TokenEnds, ClientSecret, ClientCertificate, ServerCertificate, CACertificate, DailyLimit,
}

// Ending is one thing that ends.
type Ending struct {
	At   time.Time `json:"at"`
	Kind Kind      `json:"kind"`
	// Provider is that of the accounts, "" for what belongs to no account.
	Provider string `json:"provider,omitempty"`
	// What names the client, the file or the limit.
	What string `json:"what,omitempty"`
	// Accounts are the addresses of the accounts that it concerns.
	Accounts []string `json:"accounts,omitempty"`
	// Detail is more about one of them, "" if the ending is of several.
	Detail string `json:"detail,omitempty"`
	// Fails says what fails from then on, Remedy what to do, Assumes what must stay as it
	// is for the forecast to come true.
	Fails   string `json:"fails"`
	Remedy  string `json:"remedy"`
	Assumes string `json:"assumes,omitempty"`
	// Hint names the entry of package hint with what is seen then, if there is one.
	Hint string `json:"hint,omitempty"`
}

// Forecast is what ends, the first first.
type Forecast struct {
	// At is when it was made.
	At      time.Time `json:"at"`
	Endings []Ending  `json:"endings"`
	// Notes say what is not known.
	Notes []string `json:"notes,omitempty"`
}

// Of returns the forecast, each ending of one account or file.
func Of(f *Facts) Forecast {
	out := Forecast{At: f.Now, Endings: []Ending{}}
	unknown := 0
	for i := range f.Accounts {
		a := &f.Accounts[i]
		for _, find := range []func(*Facts, *Account) (Ending, bool){unused, given, secret, clientCertificate} {
			if e, ok := find(f, a); ok {
				e.Provider, e.Accounts = a.Provider, []string{a.Email}
				out.Endings = append(out.Endings, e)
			}
		}
		if a.unknown(f) {
			unknown++
		}
	}
	for _, c := range f.Certificates {
		out.Endings = append(out.Endings, c.ending())
	}
	for i := range f.Counts {
		if e, ok := f.Counts[i].usedUp(f.Now); ok {
			out.Endings = append(out.Endings, e)
		}
	}
	if unknown > 0 {
		out.Notes = append(out.Notes, counted(unknown, "account")+": it is not known when the refresh token was used last")
	}
	out.Notes = append(out.Notes, f.Notes...)
	sortByDate(out.Endings)
	return out
}

func sortByDate(list []Ending) {
	slices.SortStableFunc(list, func(a, b Ending) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.What, b.What),
			slices.Compare(a.Accounts, b.Accounts))
	})
}

// Within returns the part of the forecast that ends within d.
func (f Forecast) Within(d time.Duration) Forecast {
	last := f.At.Add(d)
	f.Endings = slices.DeleteFunc(slices.Clone(f.Endings), func(e Ending) bool { return e.At.After(last) })
	return f
}

// ParseWithin reads a time from now on: a duration, or a number of days as in "30d".
func ParseWithin(text string) (d time.Duration, err error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil {
			d = time.Duration(min(n, 36500)) * day
		}
	} else {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf(`%.40q is no time such as "30d" or "12h"`, text)
	}
	return d, nil
}

// Grouped returns the forecast with one ending for all accounts that have the same one on
// the same day, at the time of the first of them.
func (f Forecast) Grouped() Forecast {
	type group struct {
		day                                  string
		kind                                 Kind
		provider, what, fails, does, assumes string
	}
	at := make(map[group]int)
	var out []Ending
	for _, e := range f.Endings {
		g := group{e.At.UTC().Format(time.DateOnly), e.Kind, e.Provider, e.What, e.Fails, e.Remedy, e.Assumes}
		i, ok := at[g]
		if !ok {
			at[g] = len(out)
			e.Accounts = slices.Clone(e.Accounts)
			out = append(out, e)
			continue
		}
		out[i].Accounts, out[i].Detail = append(out[i].Accounts, e.Accounts...), ""
	}
	f.Endings = append([]Ending{}, out...)
	return f
}

// Subject says whom or what the ending is of, in a few words: the first account and how many
// there are.
func (e *Ending) Subject() string {
	var words []string
	for _, w := range []string{e.What, e.Provider} {
		if w != "" {
			words = append(words, w)
		}
	}
	switch n := len(e.Accounts); {
	case n == 1:
		words = append(words, e.Accounts[0])
	case n > 1:
		words = append(words, fmt.Sprintf("%s and %s", e.Accounts[0], counted(n-1, "other account")))
	}
	if e.Detail != "" {
		words = append(words, e.Detail)
	}
	return strings.Join(words, ", ")
}
