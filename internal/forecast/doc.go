// Package forecast says what will break next, and when: refresh tokens, client secrets,
// certificates, and limits of a day at the present pace.
//
// [Of] computes a [Forecast] from [Facts]: it reads no clock, file or network. Each [Ending]
// has a day, what fails then, whom it concerns and what to do. What is not known is not
// guessed: a token without a known end has no ending, and a note counts the accounts of which
// nothing is known.
//
// # Refresh tokens
//
// A refresh token ends after it was unused for as long as its provider allows, or at the time
// that the provider gave with it. A running proxy that will use a token before (mail, or
// keep-alive) puts the first end off, and such a token has no ending. Without a running proxy
// nothing uses tokens.
//
// # Limits of a day
//
// The forecast continues the pace of the last hours, while what was counted a day ago is
// counted no more, by the windows of package upstream/internal/limit. It is silent below half
// of the limit, and if the limit lasts.
package forecast
