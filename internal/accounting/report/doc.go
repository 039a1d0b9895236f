// Package report sums up accounting logs, and says what is missing in them.
//
//	tally.go     a Tally takes each record once, and counts it in its group
//	group.go     what is counted
//	spread.go    the distribution of a time
//	sequence.go  which numbers of a process were seen: gaps, and records that come again
//	missing.go   what is not in the files, and why
//	find.go      whether a record is about a message, a person or a session
//
// Memory grows with the groups and the processes, both of which have a bound, and by one octet
// for about a thousand records.
package report
