package sandbox

import (
	"xoauth2-proxy/internal/sandbox/internal/store"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Names of the rooms that callers use.
type (
	Duration    = wait.Duration
	LoadStats   = store.LoadStats
	Message     = store.Message
	Range       = store.Range
	Recipient   = store.Recipient
	StoreConfig = store.Config
)

// messages is what a Server has of the store.
type messages = store.Store

// Modes of the store, see StoreConfig.
const (
	ModeKeep  = store.ModeKeep
	ModeDir   = store.ModeDir
	ModeCount = store.ModeCount
)

// Header fields of a load message.
const (
	HeaderLoadID      = store.HeaderLoadID
	HeaderLoadAccount = store.HeaderLoadAccount
	HeaderLoadSum     = store.HeaderLoadSum
)

// LoadSum is the value of HeaderLoadSum for a body.
func LoadSum(body []byte) string { return store.LoadSum(body) }
