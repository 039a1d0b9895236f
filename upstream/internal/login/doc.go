// Package login opens a connection to a provider with blocking I/O: access token, TCP,
// TLS, EHLO and AUTH, up to the 235. What it returns is for a loop to adopt.
//
// The response of AUTH goes with the command while the line has at most 512
// octets, else on a line of its own after the provider's 334 (formFor). A refusal
// of that form has the other one tried once, which is remembered for the endpoint
// (authForms). A refusal of a line's syntax says nothing about the token.
//
// A token that was cached and is refused is replaced once, on another connection.
package login
