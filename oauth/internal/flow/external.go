package flow

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/httpc"
)

const (
	// maxOutput caps what a token command may print.
	maxOutput = 64 << 10
	// maxComplaint is how much of its standard error is read.
	maxComplaint = 4 << 10
)

var (
	errCommand       = errors.New("the token command failed")
	errCommandStart  = errors.New("the token command cannot be started")
	errCommandOutput = errors.New("the token command printed too much")
	errCommandReply  = errors.New("the token command printed no access token")
)

// keptEnvironment is all that a token command inherits: the proxy's environment may
// hold keys.
var keptEnvironment = []string{"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"}

// externalReply is the output of a token command or the answer of an external
// endpoint: a successful or an error response of RFC 6749 section 5.
type externalReply struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// command runs the account's token command, without a shell. It learns which
// account it is for from XOAUTH2_ACCOUNT_ID, XOAUTH2_EMAIL and XOAUTH2_SCOPE.
func (f *Flows) command(ctx context.Context, g Grant) (Issued, *Error) {
	a := g.Account
	cmd := exec.CommandContext(ctx, a.TokenCommand[0], a.TokenCommand[1:]...)
	cmd.Env = commandEnvironment(a)
	// The command's process group ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, complaint := &limited{left: maxOutput}, &limited{left: maxComplaint, drop: true}
	err := runTapped(cmd, out, complaint)
	switch {
	case ctx.Err() != nil:
		return Issued{}, Local(ctx.Err())
	case out.exceeded:
		return Issued{}, commandError(errCommandOutput)
	case cmd.ProcessState == nil: // it never ran
		return Issued{}, commandError(errCommandStart)
	}
	printed, tooMuch := asJSON(out.buf.Bytes(), "")
	if tooMuch != nil {
		return Issued{}, commandError(errCommandOutput)
	}
	printed, odd := plainFields(bareToken(printed))
	got, e := f.fromReply(printed, odd, g)
	if e != nil && errors.Is(e, httpc.ErrMalformedReply) {
		e = commandError(errCommandReply)
	}
	if err == nil || e != nil && e.Code != "" { // its own error object goes first
		return got, e
	}
	e = commandError(errCommand)
	e.Description = redact("exit status "+strconv.Itoa(cmd.ProcessState.ExitCode())+" "+complaint.buf.String(), secretsOf(g.Account, g.Refresh))
	return Issued{}, e
}

// shortestToken is the length of the shortest access token, in octets, that is taken
// without the name access_token. Real ones are far longer; a word is shorter.
const shortestToken = 16

// bareToken returns what a command printed, a token by itself as an object with that
// access_token: most commands for tokens print nothing else.
func bareToken(printed []byte) []byte {
	word := string(printed)
	var quoted string
	if json.Unmarshal(printed, &quoted) == nil {
		word = quoted
	}
	if len(word) < shortestToken || !IsBearer(word) || strings.ContainsAny(word, "{}<>\"'") {
		return printed
	}
	object, err := json.Marshal(map[string]string{"access_token": word})
	if err != nil {
		return printed
	}
	return object
}

// commandError is a failure of the command itself. It counts as passing, unless the
// command cannot be started.
func commandError(cause error) *Error {
	e := &Error{Err: cause, Hint: hint.TokenCommandFailed}
	if errors.Is(cause, errCommandStart) {
		e.Class, e.Hint = ClassMisconfigured, hint.TokenCommandCannotStart
	}
	return e
}

func commandEnvironment(a *account.Account) []string {
	env := []string{"XOAUTH2_ACCOUNT_ID=" + a.ID, "XOAUTH2_EMAIL=" + a.Identity(), "XOAUTH2_SCOPE=" + a.Scope}
	for _, name := range keptEnvironment {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// endpoint asks the operator's HTTP endpoint, by a POST with the account that the
// token is for.
func (f *Flows) endpoint(ctx context.Context, g Grant) (Issued, *Error) {
	a := g.Account
	if err := checkEndpoint(a); err != nil {
		return Issued{}, err
	}
	form := url.Values{"account_id": {a.ID}, "email": {a.Identity()}}
	if a.Scope != "" {
		form.Set("scope", a.Scope)
	}
	x := f.exchange(ctx, a)
	authorization := ""
	if !a.ClientSecret.IsZero() {
		authorization = "Bearer " + a.ClientSecret.Reveal()
	}
	if err := x.post(a.TokenURL, form, authorization); err != nil {
		return f.outcome(x, g, nil, err)
	}
	return f.fromReply(x.answer.body, x.answer.odd, g)
}

// fromReply reads a reply in the form of plainFields, which could not read the fields
// odd.
func (f *Flows) fromReply(body []byte, odd []string, g Grant) (Issued, *Error) {
	var r externalReply
	if json.Unmarshal(body, &r) != nil {
		return Issued{}, Local(httpc.ErrMalformedReply)
	}
	if r.Error != "" {
		refusal := &oauth2.RetrieveError{ErrorCode: r.Error, ErrorDescription: r.Description}
		e := classify(refusal, secretsOf(g.Account, g.Refresh), time.Now())
		hintForFlow(e, g.Account)
		return Issued{}, e
	}
	tok := &oauth2.Token{AccessToken: r.AccessToken, TokenType: r.TokenType}
	if r.ExpiresIn > 0 {
		tok.Expiry = time.Now().Add(time.Duration(r.ExpiresIn) * time.Second)
	}
	return f.token(tok, odd)
}
