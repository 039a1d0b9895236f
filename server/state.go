package server

import (
	"time"
)

// state is where a session stands; doc.go lists them.
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
	// waiting are the states in which the answer must come from somebody
	// else before the next command is read.
	waiting = in(stateAwaitPassword, stateDelayed, stateAwaitToken, stateAwaitRcpts, stateAwaitUpstream)
	// answersDue are those in which a client that has ended its input is still to
	// be told something.
	answersDue = waiting | in(stateLinger, stateClosed)
	// idle are the states without a transaction: a draining server ends
	// these sessions at once.
	idle = in(stateProxyHeader, stateDetect, stateHandshake, stateHello, stateUnauth, stateReady,
		stateAuthPlain, stateAuthLoginUser, stateAuthLoginPass, stateAuthCRAM)
	// silent are the states in which the client does not expect to be told
	// anything: such a session ends without a word.
	silent = in(stateProxyHeader, stateHandshake)
)

// lingerTimeout bounds how long input is swallowed after the last reply, so
// that the client reads the reply before it sees a reset.
const lingerTimeout = 2 * time.Second

// detectTimeout is how long TLSDetect waits for a handshake before it greets: so
// long that a first segment that was lost has been sent again (RFC 6298 section 2).
const detectTimeout = time.Second
