package app

import (
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/logging"
)

// NewLogger makes the one logger of the process, and level, which changes its level. The
// caller closes the output at the end of the process.
func NewLogger(cfg config.Log, level *zap.AtomicLevel) (log *zap.Logger, out *logging.Output, err error) {
	if *level, err = zap.ParseAtomicLevel(cfg.Level); err != nil {
		return nil, nil, err
	}
	return logging.Open(logging.Config{JSON: cfg.Format == "json", Console: cfg.Console, File: cfg.File}, *level)
}

// Keys of the fields that name an account: by its ID and by its address.
const keyAccount, keyEmail = "account", "email"

// namingAccounts returns a logger whose lines name an account by its ID and by its address
// where one of both is given.
func namingAccounts(log *zap.Logger, accounts *account.Store) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(next zapcore.Core) zapcore.Core { return namingCore{next, accounts} }))
}

// namingCore completes the names of accounts.
type namingCore struct {
	zapcore.Core
	accounts *account.Store
}

// With implements zapcore.Core.
func (c namingCore) With(fields []zapcore.Field) zapcore.Core {
	return namingCore{c.Core.With(c.complete(fields)), c.accounts}
}

// Check implements zapcore.Core.
func (c namingCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core. The core below decides what becomes of the line.
func (c namingCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	return c.Core.Write(e, c.complete(fields))
}

// complete adds the name that is missing.
func (c namingCore) complete(fields []zapcore.Field) []zapcore.Field {
	id, email := textOf(fields, keyAccount), textOf(fields, keyEmail)
	switch {
	case (id == "") == (email == ""):
		return fields
	case email == "":
		if a, ok := c.accounts.Load().ByID(id); ok {
			return append(slices.Clone(fields), zap.String(keyEmail, a.Email))
		}
	default:
		if a, ok := c.accounts.Load().ByLogin([]byte(email)); ok {
			return append(slices.Clone(fields), zap.String(keyAccount, a.ID))
		}
	}
	return fields
}

// textOf returns the text of the field with that key, "" if there is none.
func textOf(fields []zapcore.Field, key string) string {
	i := slices.IndexFunc(fields, func(f zapcore.Field) bool { return f.Key == key && f.Type == zapcore.StringType })
	if i < 0 {
		return ""
	}
	return fields[i].String
}
