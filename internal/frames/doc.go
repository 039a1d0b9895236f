// Package frames sends messages, with descriptors of open files, over a unix socket between
// two processes of this program.
//
// A frame is 16 octets, the numbers in them big-endian, and a text:
//
//	octets of the text   4
//	descriptors          2  they come with the first octet of the frame (SCM_RIGHTS)
//	flags                2  answer, failed
//	number               8  of a question and of its answer; 0: no answer is wanted
//	text                    JSON: {"kind": ..., "body": ...}, of an answer its body alone
//
// A message of a kind that the other process does not know is answered by [ErrUnknown], and
// has no other effect. The end of the connection is the end of the other process: Gone is
// closed, and every question that waits gets [ErrGone]. A process that hangs is not gone:
// who waits for it has a deadline.
package frames
