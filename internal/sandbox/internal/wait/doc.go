// Package wait has what the other rooms of the sandbox wait for: a change of
// state ([Notifier]), connections that come and end ([Conns]), a client that
// closes ([Peer]), and how long ([Duration]).
//
// [Peer] and [HasInput] ask the system about a socket, which ties the package to
// Linux.
package wait
