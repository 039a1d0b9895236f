package server

import (
	"time"
)

// state is the state of a session; doc.go describes each.
type state uint8

const (
	stateProxyHeader state = iota
	stateDetect
	stateHandshake
	stateHello
	stateUnauth
	stateReady
	stateMail
	stateRcpt
	stateData
	stateBdat
	stateBdatNext
	stateBdatSkip
	stateAuthPlain
	stateAuthLoginUser
	stateAuthLoginPass
	stateAuthCRAM
	stateAwaitPassword
	stateDelayed
	stateAwaitToken
	stateAwaitRcpts
	stateAwaitUpstream
	stateSkipLine
	stateLinger
	stateClosed
	numStates
)

var stateNames = [numStates]string{
	"proxyHeader", "detect", "handshake", "hello", "unauth", "ready", "mail", "rcpt", "data", "bdat", "bdatNext", "bdatSkip",
	"authPlain", "authLoginUser", "authLoginPass", "authCRAM", "awaitPassword", "delayed", "awaitToken", "awaitRcpts", "awaitUpstream",
	"skipLine", "linger", "closed",
}

func (s state) String() string { return stateNames[s] }

// stateSet is a set of states, for the rules.
type stateSet uint32

func in(states ...state) (set stateSet) {
	for _, s := range states {
		set |= 1 << s
	}
	return set
}

func (set stateSet) has(s state) bool { return set&(1<<s) != 0 }

var (
	// waiting are the states in which no command is read: the reply depends on
	// a password check, the token or the relay.
	waiting = in(stateAwaitPassword, stateDelayed, stateAwaitToken, stateAwaitRcpts, stateAwaitUpstream)
	// answersDue are the states in which a client that has ended its input still
	// gets a reply.
	answersDue = waiting | in(stateLinger, stateClosed)
	// idle are the states without a transaction: a draining server ends
	// these sessions at once.
	idle = in(stateProxyHeader, stateDetect, stateHandshake, stateHello, stateUnauth, stateReady,
		stateAuthPlain, stateAuthLoginUser, stateAuthLoginPass, stateAuthCRAM,
		stateAwaitPassword, stateDelayed, stateAwaitToken)
	// receiving are the states in which content comes in, or is to come on.
	receiving = in(stateData, stateBdat, stateBdatNext, stateBdatSkip)
	// silent are the states in which the client expects no reply: such a session
	// ends without one.
	silent = in(stateProxyHeader, stateHandshake)
)

// lingerTimeout is how long input is discarded after the last reply: a close with input
// unread would reset the connection before the client reads that reply.
const lingerTimeout = 2 * time.Second

// detectTimeout is how long TLSDetect waits for a handshake before it greets. A client
// retransmits a lost first segment within this time (RFC 6298 section 2).
const detectTimeout = time.Second

// patienceOfClients is how long after end-of-data a client waits at least before it gives
// up. A client that ends its input sooner has sent all at once, and reads the replies then.
const patienceOfClients = time.Second
