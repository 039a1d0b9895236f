// Package accountfile reads, caches, edits and imports accounts.json.
//
// # One representation
//
// takeApart takes a file apart into a head (up to the bracket that begins the array
// of accounts), pieces (each account, with the gap in front of it) and a tail:
//
//	{"accounts": [            head
//	  {"email": ...}          piece 0
//	  , {"email": ...}        piece 1
//	]}                        tail
//
// It hands the pieces to a taker: a reading, which makes accounts; newList, which
// keeps them for an edit; or an import. A splitter finds the pieces while the file is
// read, so that a large file is never in memory as a whole. A file that the splitter
// does not understand, or that has a mistake, is parsed as a whole and cut into the
// same pieces; then the parser words the mistake.
//
// # Reading again
//
// A program that reads its accounts again has a [Cache]: an account whose text is the
// same is not parsed again, and stays the same [account.Account]. An account depends
// on its text and on the [Basis], and on nothing else unless keyfile.File.Passing
// says so.
//
// # Editing
//
// [Edit] changes the [List] of a file under a lock, checks the result as a whole, and
// replaces the file. Comments, order and unknown keys stay.
package accountfile
