package admin

import (
	"fmt"
	"sync"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/account"
)

// verifyParallel bounds the accounts of a batch that are verified at one time.
const verifyParallel = 10

// addBatch adds up to 100 accounts. It leaves out and reports those that cannot be
// verified. None is verified unless all can be saved.
func (a *apiRoutes) addBatch(ctx *fasthttp.RequestCtx) {
	list, err := a.readBatch(ctx)
	if err != nil {
		WriteError(ctx, fasthttp.StatusBadRequest, err.Error())
		return
	}
	if twice := a.duplicates(list); len(twice) > 0 {
		WriteJSON(ctx, fasthttp.StatusConflict, refused{Error: "duplicate accounts found", Duplicates: twice})
		return
	}
	if err := a.rehearse(list); err != nil {
		fail(ctx, err)
		return
	}
	good, failed := a.verifyBatch(Requester(ctx), list)
	added := len(good)
	if added == 0 {
		WriteJSON(ctx, fasthttp.StatusBadRequest, refused{Error: "all accounts failed verification", AddedCount: &added, FailedAccounts: failed})
		return
	}
	dryRun := flag(ctx, "dry_run")
	total, err := a.api.Save(good, dryRun)
	if err != nil {
		fail(ctx, err)
		return
	}
	reply := changed{Success: true, Message: outcome(dryRun, fmt.Sprintf("Added %d accounts successfully", added),
		fmt.Sprintf("%d accounts would be added", added)), TotalAccounts: total,
		AddedCount: &added, DryRun: dryRun, IgnoredFields: ignoredIn(list...)}
	status := fasthttp.StatusOK
	if n := len(failed); n > 0 {
		status = fasthttp.StatusPartialContent
		reply.Success, reply.Message = "partial", outcome(dryRun, fmt.Sprintf("Added %d accounts, %d failed", added, n),
			fmt.Sprintf("%d accounts would be added, %d failed", added, n))
		reply.FailedCount, reply.FailedAccounts = &n, failed
	}
	WriteJSON(ctx, status, reply)
}

// duplicates returns the addresses that are in use already, or twice in list.
func (a *apiRoutes) duplicates(list []*NewAccount) (twice []string) {
	there := make(map[string]bool)
	for _, have := range a.api.Accounts() {
		there[account.FoldLogin(have.Email)] = true
	}
	seen := make(map[string]bool)
	for _, n := range list {
		key := account.FoldLogin(n.Email)
		if seen[key] || there[key] && !n.Overwrite {
			twice = append(twice, n.Email)
		}
		seen[key] = true
	}
	return twice
}

// verifyBatch parts the accounts that work, or are not to be verified, from the
// others. Both keep their order. by is who asks.
func (a *apiRoutes) verifyBatch(by string, list []*NewAccount) (good []*NewAccount, failed []failure) {
	errs := make([]error, len(list))
	slots := make(chan struct{}, verifyParallel)
	var wg sync.WaitGroup
	for i, n := range list {
		if !n.verifies() {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = a.verify(by, n)
		})
	}
	wg.Wait()
	for i, n := range list {
		if errs[i] != nil {
			failed = append(failed, failure{n.Email, errs[i].Error()})
		} else {
			good = append(good, n)
		}
	}
	return good, failed
}
