package admin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// changed is the answer to a change of the accounts.
type changed struct {
	Success         any       `json:"success"` // true, or "partial"
	Message         string    `json:"message"`
	TotalAccounts   int       `json:"total_accounts"`
	Account         *Account  `json:"account,omitempty"`
	AddedCount      *int      `json:"added_count,omitempty"`
	FailedCount     *int      `json:"failed_count,omitempty"`
	FailedAccounts  []failure `json:"failed_accounts,omitempty"`
	DeletedCount    *int      `json:"deleted_count,omitempty"`
	DeletedAccounts []string  `json:"deleted_accounts,omitempty"`
	KeptAccounts    []failure `json:"kept_accounts,omitempty"`
	DryRun          bool      `json:"dry_run,omitempty"`
	// IgnoredFields are fields of the request that had no effect: an account of the file
	// has more keys than the API takes.
	IgnoredFields []string `json:"ignored_fields,omitempty"`
}

// refused is the answer to a change that was not made.
type refused struct {
	Success        bool      `json:"success"`
	Error          string    `json:"error"`
	AddedCount     *int      `json:"added_count,omitempty"`
	FailedAccounts []failure `json:"failed_accounts,omitempty"`
	Duplicates     []string  `json:"duplicates,omitempty"`
	KeptAccounts   []failure `json:"kept_accounts,omitempty"`
}

// failure is an account with what is wrong with it.
type failure struct {
	Email string `json:"email"`
	Error string `json:"error"`
}

// list shows the accounts, all or those that the query asks for.
func (a *apiRoutes) list(ctx *fasthttp.RequestCtx) {
	wanted, err := WantedStates(string(ctx.QueryArgs().Peek("state")))
	if err != nil {
		WriteError(ctx, fasthttp.StatusBadRequest, err.Error())
		return
	}
	provider := string(ctx.QueryArgs().Peek("provider"))
	all := a.api.Listed()
	shown, states := []Listed{}, make(map[string]int)
	for _, l := range all {
		states[l.State]++
		if (wanted == nil || slices.Contains(wanted, l.State)) &&
			(provider == "" || strings.EqualFold(provider, l.Provider)) {
			shown = append(shown, l)
		}
	}
	WriteJSON(ctx, fasthttp.StatusOK, struct {
		Success       bool           `json:"success"`
		TotalAccounts int            `json:"total_accounts"`
		Accounts      []Listed       `json:"accounts"`
		States        map[string]int `json:"states"`
	}{true, len(all), shown, states})
}

// outcome is the message about a change, or about a dry run of it.
func outcome(dryRun bool, done, planned string) string {
	if dryRun {
		return "Dry run: " + planned
	}
	return done
}

// add adds one account.
func (a *apiRoutes) add(ctx *fasthttp.RequestCtx) {
	n := new(NewAccount)
	err := decode(ctx, n)
	if err == nil {
		err = a.checkNew(n)
	}
	if err != nil {
		WriteError(ctx, fasthttp.StatusBadRequest, err.Error())
		return
	}
	dryRun := flag(ctx, "dry_run")
	if _, there := a.describe(n.Email); there && !n.Overwrite {
		WriteError(ctx, fasthttp.StatusConflict, fmt.Sprintf("account %s already exists", n.Email))
		return
	}
	if err := a.rehearse([]*NewAccount{n}); err != nil {
		fail(ctx, err)
		return
	}
	if n.verifies() {
		if err := a.verify(Requester(ctx), n); err != nil {
			WriteError(ctx, fasthttp.StatusBadRequest, "account verification failed: "+err.Error())
			return
		}
	}
	total, err := a.api.Save([]*NewAccount{n}, dryRun)
	if err != nil {
		fail(ctx, err)
		return
	}
	reply := changed{Success: true, Message: outcome(dryRun, fmt.Sprintf("Account %s added successfully", n.Email),
		fmt.Sprintf("account %s would be added", n.Email)), TotalAccounts: total, DryRun: dryRun, IgnoredFields: ignoredIn(n)}
	if account, ok := a.describe(n.Email); ok {
		reply.Account = &account
	}
	WriteJSON(ctx, fasthttp.StatusOK, reply)
}

// rehearse finds out whether the accounts can be saved, if any of them is to be
// verified: the provider may replace a refresh token at that, and a token that cannot be
// saved would be lost.
func (a *apiRoutes) rehearse(list []*NewAccount) error {
	if !slices.ContainsFunc(list, (*NewAccount).verifies) {
		return nil
	}
	_, err := a.api.Save(list, true)
	return err
}

// remove removes one account.
func (a *apiRoutes) remove(ctx *fasthttp.RequestCtx) {
	address, ok := email(ctx)
	if !ok {
		return
	}
	dryRun := flag(ctx, "dry_run")
	total, err := a.api.Remove([]string{address}, false, dryRun)
	if err != nil {
		fail(ctx, err)
		return
	}
	WriteJSON(ctx, fasthttp.StatusOK, changed{Success: true, Message: outcome(dryRun, fmt.Sprintf("Account %s deleted successfully", address),
		fmt.Sprintf("account %s would be removed", address)), TotalAccounts: total, DryRun: dryRun})
}

// removeAll removes all accounts, if the request has confirm=true.
func (a *apiRoutes) removeAll(ctx *fasthttp.RequestCtx) {
	if !flag(ctx, "confirm") {
		WriteError(ctx, fasthttp.StatusBadRequest, "all accounts would be deleted: add ?confirm=true")
		return
	}
	n := len(a.api.Accounts())
	if n == 0 {
		WriteError(ctx, fasthttp.StatusNotFound, "no accounts to delete")
		return
	}
	dryRun := flag(ctx, "dry_run")
	total, err := a.api.Remove(nil, true, dryRun)
	if err != nil {
		fail(ctx, err)
		return
	}
	WriteJSON(ctx, fasthttp.StatusOK, changed{Success: true, Message: outcome(dryRun, fmt.Sprintf("All %d accounts deleted successfully", n),
		fmt.Sprintf("all %d accounts would be removed", n)), TotalAccounts: total, DryRun: dryRun})
}

// removeInvalid verifies all accounts and removes those whose credentials the provider
// has refused for good. Any other failure is reported and leaves the account alone: it
// may pass.
func (a *apiRoutes) removeInvalid(ctx *fasthttp.RequestCtx) {
	if _, err := a.api.Remove(nil, false, true); err != nil { // before tokens are fetched
		fail(ctx, err)
		return
	}
	verdicts, err := a.api.VerifyAll(a.server.ctx)
	if err != nil {
		fail(ctx, err)
		return
	}
	var dead []string
	var kept []failure
	for _, v := range verdicts {
		a.noteVerified(Requester(ctx), v.Email, v.Err)
		switch {
		case v.Err == nil:
		case v.Dead:
			dead = append(dead, v.Email)
		default:
			kept = append(kept, failure{v.Email, v.Err.Error()})
		}
	}
	if len(dead) == 0 {
		WriteJSON(ctx, fasthttp.StatusNotFound, refused{Error: "no invalid accounts found", KeptAccounts: kept})
		return
	}
	dryRun := flag(ctx, "dry_run")
	total, err := a.api.Remove(dead, false, dryRun)
	if err != nil {
		fail(ctx, err)
		return
	}
	n := len(dead)
	WriteJSON(ctx, fasthttp.StatusOK, changed{Success: true, Message: outcome(dryRun, fmt.Sprintf("Deleted %d invalid accounts", n),
		fmt.Sprintf("%d invalid accounts would be removed", n)), TotalAccounts: total,
		DeletedCount: &n, DeletedAccounts: dead, KeptAccounts: kept, DryRun: dryRun})
}

// maxBatch is how many accounts one request may add.
const maxBatch = 100

// readBatch reads the accounts of a batch; the first that is malformed makes
// the whole batch so.
func (a *apiRoutes) readBatch(ctx *fasthttp.RequestCtx) ([]*NewAccount, error) {
	var raw []json.RawMessage
	if err := decode(ctx, &raw); err != nil {
		return nil, err
	}
	switch {
	case raw == nil:
		return nil, fmt.Errorf("request body must be an array of accounts")
	case len(raw) == 0:
		return nil, fmt.Errorf("no accounts provided")
	case len(raw) > maxBatch:
		return nil, fmt.Errorf("too many accounts: %d, the maximum is %d in one request", len(raw), maxBatch)
	}
	list := make([]*NewAccount, len(raw))
	for i := range raw {
		list[i] = new(NewAccount)
		err := decodeJSON(raw[i], list[i])
		if err == nil {
			err = a.checkNew(list[i])
		}
		if err != nil {
			return nil, fmt.Errorf("account %d: %w", i+1, err)
		}
	}
	return list, nil
}
