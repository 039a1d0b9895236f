// Package store keeps the messages that the sandbox accepted: in memory, in a
// directory, or only as counts (see [Config]).
//
// # Files
//
// In mode "dir" message N is two files: N.eml has the content, byte for byte, and
// N.json the envelope ([Message]). N has at least six digits. A new store goes on
// after the highest number in the directory, and it removes no file that a
// sandbox did not write.
//
// # Load runs
//
// A load generator puts a run and a number into each message ([HeaderLoadID]).
// The store then counts what arrived once, twice, damaged or under another login
// ([LoadStats]), in every mode.
package store
