package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"xoauth2-proxy/internal/forecast"
	"xoauth2-proxy/internal/share/roster"
)

// Errors of an API, by which the status of an answer is chosen.
var (
	// ErrNotFound: there is no such account. 404.
	ErrNotFound = errors.New("account not found")
	// ErrExists: there is such an account already. 409.
	ErrExists = errors.New("account exists already")
	// ErrRedirect: the change would send stored secrets to another place than the
	// one they are for. 400.
	ErrRedirect = errors.New("nothing was changed, and nothing was sent")
	// ErrKeys: the file would have an account that cannot sign with the keys it
	// has. 400.
	ErrKeys = errors.New("nothing was changed")
	// ErrCrossed: an order crossed one of another process, which wins. 409.
	ErrCrossed = errors.New("the order does not hold")
	// ErrConflict: something else must end first. 409.
	ErrConflict = errors.New("not now")
	// ErrUnavailable: a part of the process does not answer. 503.
	ErrUnavailable = errors.New("a part of the proxy does not answer: /health names it if it is stuck")
)

// API carries out the requests of the routes below /admin. Its methods are called on
// the goroutines of requests, several at one time, and may block; ctx ends when the
// server closes. No error may have a secret in it: answers show errors.
type API interface {
	// Accounts returns the accounts in force, in the order of the file.
	Accounts() []Account
	// Listed is Accounts with the state of each.
	Listed() []Listed
	// Check returns what is wrong with a new account by itself.
	Check(n *NewAccount) error
	// Verify gets a token for a new account and logs in at its provider, which
	// may replace the refresh token. It asks neither if Save would return
	// ErrRedirect.
	Verify(ctx context.Context, n *NewAccount) error
	// Save writes the accounts to the file and puts them in force, or does
	// neither. With dryRun it only tells whether it would. An account that exists
	// already gets the new values if its Overwrite is set, else the error is
	// ErrExists. The error is ErrRedirect if its stored secrets would go elsewhere,
	// and ErrKeys if an account in the file could not work. Save returns the number
	// of accounts afterwards. If it does not save an account whose refresh token was
	// replaced, it keeps the new token elsewhere, and the error says where.
	Save(list []*NewAccount, dryRun bool) (total int, err error)
	// Remove removes the accounts with these addresses, or none; all means every
	// account, whatever emails says. With dryRun it only tells whether it could.
	// The error is ErrNotFound if one of them does not exist, and ErrKeys if one
	// of the others could not work.
	Remove(emails []string, all, dryRun bool) (total int, err error)
	// VerifyAll verifies every account that is in force.
	VerifyAll(ctx context.Context) ([]Verdict, error)
	// VerifyOne verifies one account that is in force; ErrNotFound.
	VerifyOne(ctx context.Context, email string) (*Verified, error)
	// Tenants returns the tenants that have a limit, by name.
	Tenants() []Tenant
	// Nodes returns the proxies that share their limits with this one;
	// roster.ErrUnknown, ErrUnavailable.
	Nodes(ctx context.Context) (roster.Roster, error)
	// Info describes this proxy.
	Info() Info
	// State returns the state of an account; ErrNotFound, ErrUnavailable.
	State(email string) (*State, error)
	// Forecast returns what ends, each ending of one account or file.
	Forecast() forecast.Forecast
	// Order pauses, resumes or drains an account; ErrNotFound, ErrCrossed. Any other error
	// says that the order is in force and could not be kept for a restart.
	Order(email string, order Order) (*Hold, error)
	// Reload reads the files again, as SIGHUP does. acceptRemovals lets it remove most
	// accounts, or all.
	Reload(acceptRemovals bool) (*Reloaded, error)
	// Upgrade has a new process of the program replace this one, and returns when that
	// accepts. back starts the program that this process has replaced. On an error nothing
	// has changed; ErrConflict says that it was not tried.
	Upgrade(ctx context.Context, how Upgrade) (*Upgraded, error)
	// LogLevel is the level in force; SetLogLevel changes it until the next
	// reload that changes it, and fails for a name that is none.
	LogLevel() string
	SetLogLevel(level string) error
}

// Account is an account as answers show it. The original has the same fields.
type Account struct {
	AccountID     string `json:"account_id"`
	Email         string `json:"email"`
	IPAddress     string `json:"ip_address"`
	VMTAName      string `json:"vmta_name"`
	Provider      string `json:"provider"`
	OAuthEndpoint string `json:"oauth_endpoint"`
	OAuthTokenURL string `json:"oauth_token_url"`
	// Senders are the addresses that clients may send from; none: every address.
	Senders []string `json:"senders,omitempty"`
}

// Listed is an account in the list of all.
type Listed struct {
	Account
	Status
}

// NewAccount is an account as a request gives it. It has secrets in it;
// formatting it shows none.
type NewAccount struct {
	Email         string `json:"email"`
	Provider      string `json:"provider"`
	ClientID      string `json:"client_id"`
	RefreshToken  string `json:"refresh_token"`
	ClientSecret  string `json:"client_secret"`
	OAuthTokenURL string `json:"oauth_token_url"`
	OAuthEndpoint string `json:"oauth_endpoint"`
	AccountID     string `json:"account_id"`
	VMTAName      string `json:"vmta_name"`
	IPAddress     string `json:"ip_address"`
	// Senders are the addresses that clients may send from; none: every address, or
	// those of the file.
	Senders []string `json:"senders"`
	// Verify is true unless the request says otherwise.
	Verify *bool `json:"verify"`
	// Overwrite replaces an account with the same email.
	Overwrite bool `json:"overwrite"`
	// Replaced says that the provider has replaced the refresh token of the
	// request: RefreshToken exists nowhere else. Verify sets it.
	Replaced bool `json:"-"`
	// ignored are the fields of the request that mean nothing.
	ignored []string
}

// Format implements fmt.Formatter without the secrets.
func (n NewAccount) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "account "+n.Email) // the state collects in memory
}

func (n *NewAccount) verifies() bool { return n.Verify == nil || *n.Verify }

// Verdict is the outcome of verifying one account.
type Verdict struct {
	Email string
	// Err is nil if the account works.
	Err error
	// Dead says that the provider has refused the account's credentials for
	// good: no time and no change of settings brings them back.
	Dead bool
}

// Verified is the outcome of verifying one account, as an answer shows it. If the
// account works, the fields after Works are empty.
type Verified struct {
	Email     string `json:"email"`
	AccountID string `json:"account_id"`
	Works     bool   `json:"works"`
	// Phase is how far it came, Class a short name of what failed, Hint what to
	// do, HintID the entry of docs/troubleshooting.md that says more.
	Phase   string `json:"phase"`
	Class   string `json:"class"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
	HintID  string `json:"hint_id"`
	// Permanent says that an operator must act.
	Permanent bool `json:"permanent"`
}

// APIVersion is the version of the admin API: a program that knows another one
// cannot rely on its routes.
const APIVersion = 1

// Info says which proxy answers, for programs that look for one.
type Info struct {
	API      int    `json:"api"`
	Version  string `json:"version"`
	Revision string `json:"revision"`
	PID      int    `json:"pid"`
	// AccountsFile is an absolute path.
	AccountsFile string `json:"accounts_file"`
	// SealKey names the key that seals secrets, TokenStoreKey the one that the token
	// store is sealed with; "" for none.
	SealKey       string `json:"seal_key"`
	TokenStoreKey string `json:"token_store_key"`
}

// State is the state of one account. A zero time is left out.
type State struct {
	Account Account `json:"account"`
	Status
	Flow        string      `json:"flow"`
	Hold        Hold        `json:"hold"`
	Token       Token       `json:"token"`
	Connections Connections `json:"connections"`
	Limits      []Limit     `json:"limits"`
	Restraint   *Restraint  `json:"restraint,omitempty"`
	LastError   *LastError  `json:"last_error,omitempty"`
}

// Limit is how much of one limit an account has used; Max 0 is no limit.
type Limit struct {
	Name string `json:"name"`
	Used int    `json:"used"`
	Max  int    `json:"max"`
}

// Tenant is how much a tenant has used of its limit on external recipients.
type Tenant struct {
	Name string `json:"name"`
	// Used is the number of external recipients of the last 24 hours, with those of
	// messages under way; Max is the limit.
	Used int `json:"used"`
	Max  int `json:"max"`
	// Accounts is the number of its accounts in force.
	Accounts int `json:"accounts"`
	// NextPlace is when the next place will be free, if none is.
	NextPlace *time.Time `json:"next_place_at,omitempty"`
}

// Restraint is a throttle or suspension that the provider's replies have led to.
type Restraint struct {
	// State is "throttled", "quota" or "held"; a held account waits
	// for an operator, whose order "resume" releases it, or for a probe.
	State  string     `json:"state"`
	Until  *time.Time `json:"until,omitempty"`
	Reason string     `json:"reason,omitempty"`
	// NextProbe is when the next probe may go: one message of a held account is
	// passed on, to see whether the provider takes its mail again.
	NextProbe *time.Time `json:"next_probe,omitempty"`
	// Connections is how many the account may have for now; 0: its limit.
	Connections int `json:"connections"`
}

// Hold is an operator's order for an account.
type Hold struct {
	// State is "active", "paused" or "draining".
	State string     `json:"state"`
	Since *time.Time `json:"since,omitempty"`
	// Untold: the other proxies do not know the order yet.
	Untold bool `json:"untold,omitempty"`
}

// Token is the state of an account's access token, without the token.
type Token struct {
	Valid       bool       `json:"valid"`
	IssuedAt    *time.Time `json:"issued_at,omitempty"`
	AgeSeconds  int64      `json:"age_seconds"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
	NextRefresh *time.Time `json:"next_refresh_at,omitempty"`
	RotatedAt   *time.Time `json:"refresh_token_rotated_at,omitempty"`
	// Unsaved says that the newest tokens could not be written to the token store.
	Unsaved bool `json:"unsaved,omitempty"`
}

// Connections counts the connections of an account to its provider.
type Connections struct {
	Dialing int `json:"dialing"`
	Active  int `json:"active"`
	Parked  int `json:"parked"`
	Closing int `json:"closing"`
	// Limit is the most there may be; 0: none.
	Limit int `json:"limit"`
	// Waiting is the number of messages that wait for a connection.
	Waiting int `json:"waiting_messages"`
}

// LastError is why the account did not work the last time.
type LastError struct {
	// At is where it happened: "token" or "login".
	At      string     `json:"at"`
	Class   string     `json:"class"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
	HintID  string     `json:"hint_id,omitempty"`
	RetryAt *time.Time `json:"retry_at,omitempty"`
	// Permanent says that an operator must act.
	Permanent bool `json:"permanent"`
}

// Order is an operator's order for an account.
type Order string

// The orders, each a route POST /admin/accounts/{email}/ORDER.
const (
	Pause  Order = "pause"
	Resume Order = "resume"
	Drain  Order = "drain"
)

// Upgrade says how to upgrade.
type Upgrade struct {
	Back bool
	// Timeout is how long the new process may take until it accepts; 0: a minute.
	Timeout time.Duration
}

// Upgraded says which process has replaced this one.
type Upgraded struct {
	PID     int    `json:"pid"`
	Version string `json:"version"`
	Program string `json:"program"`
	// Replaced is this process, and EndsSessions how many seconds it ends its sessions for.
	Replaced     int `json:"replaced_pid"`
	EndsSessions int `json:"ends_sessions_over_seconds"`
}

// Reloaded is what a reload changed.
type Reloaded struct {
	TotalAccounts int `json:"total_accounts"`
	Added         int `json:"added"`
	Changed       int `json:"changed"`
	Removed       int `json:"removed"`
	// LogLevel is the level now in force.
	LogLevel string `json:"log_level"`
	// RestartNeeded names the settings whose new values are not in force.
	RestartNeeded []string `json:"restart_needed"`
	// CertificateError says why the files of the certificate for clients cannot be
	// used: the old one stays in use.
	CertificateError string `json:"certificate_error,omitempty"`
}
