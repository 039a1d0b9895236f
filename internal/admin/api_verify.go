package admin

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"
)

// How long the verification of one account may take, in seconds.
const (
	defaultVerifySeconds = 60
	maxVerifySeconds     = 3600
)

// verify verifies a new account for by.
func (a *apiRoutes) verify(by string, n *NewAccount) error {
	err := a.api.Verify(a.server.ctx, n)
	a.noteVerified(by, n.Email, err)
	return err
}

// noteVerified logs that by had an account verified, and what came of it: the
// account's secrets were used.
func (a *apiRoutes) noteVerified(by, email string, err error) {
	fields := []zap.Field{zap.String("email", email), zap.String("by", by), zap.Bool("works", err == nil)}
	if err != nil {
		fields = append(fields, zap.Error(err))
	}
	a.server.log.Info("account verified by the admin API", fields...)
}

// verifyOne verifies one account that is in force.
func (a *apiRoutes) verifyOne(ctx *fasthttp.RequestCtx) {
	want := struct {
		Email          string `json:"email"`
		TimeoutSeconds int    `json:"timeout_seconds"`
	}{TimeoutSeconds: defaultVerifySeconds}
	err := decode(ctx, &want)
	switch {
	case err != nil:
	case !isEmail(want.Email):
		err = errors.New("invalid email format")
	case want.TimeoutSeconds < 1 || want.TimeoutSeconds > maxVerifySeconds:
		err = errors.New("timeout_seconds must be in 1..3600")
	}
	if err != nil {
		WriteError(ctx, fasthttp.StatusBadRequest, err.Error())
		return
	}
	limited, cancel := context.WithTimeout(a.server.ctx, time.Duration(want.TimeoutSeconds)*time.Second)
	defer cancel()
	done, err := a.api.VerifyOne(limited, want.Email)
	if err != nil {
		fail(ctx, err)
		return
	}
	var failed error
	if !done.Works {
		failed = errors.New(done.Message)
	}
	a.noteVerified(Requester(ctx), done.Email, failed)
	WriteJSON(ctx, fasthttp.StatusOK, struct {
		Success bool `json:"success"`
		*Verified
	}{true, done})
}

// info says which proxy answers.
func (a *apiRoutes) info(ctx *fasthttp.RequestCtx) {
	WriteJSON(ctx, fasthttp.StatusOK, struct {
		Success bool `json:"success"`
		Info
	}{true, a.api.Info()})
}
