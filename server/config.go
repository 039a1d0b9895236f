package server

import (
	"xoauth2-proxy/server/internal/journal"
	"xoauth2-proxy/server/internal/settings"
)

// Config has the settings of a server.
type Config = settings.Config

// DefaultConfig has every default but the listeners.
func DefaultConfig() Config { return settings.Default() }

// Listener is one address that clients connect to.
type Listener = settings.Listener

// TLSMode says how a listener uses TLS.
type TLSMode = settings.TLSMode

// The modes.
const (
	TLSNone     = settings.TLSNone
	TLSOffered  = settings.TLSOffered
	TLSRequired = settings.TLSRequired
	TLSImplicit = settings.TLSImplicit
	TLSDetect   = settings.TLSDetect
)

// MessageLog says which outcomes of messages are logged: "all", "failed" or "none".
type MessageLog = journal.Messages

// Orders knows the accounts that an operator has paused.
type Orders = settings.Orders
