// Package vault shares tokens: it is the oauth.Sharer over a share.Store.
//
// # What the store has
//
// The key of a chain has the account's ID and a hash; see [Name]. The record is sealed with
// the key that all nodes have (package seal), for its account and chain alone: a record that
// is put in the place of another one does not open. A record that does not open is told once
// and never used; the next refresh replaces it. A spare token is not published.
//
// # What a fence is worth
//
// A fence keeps a late record out of the store. It does not reach the token endpoint: a node
// that was frozen may still use a refresh token when its claim is over. Package oauth says
// what becomes of the tokens then.
//
// # A store that does not answer
//
// A claim is tried again until the store has been silent for share.TTL. From then on claims
// fail at once, until a call is answered. A commit may be repeated: a store executes it once
// for each fence.
package vault
