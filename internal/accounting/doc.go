// Package accounting writes what became of each recipient of each message.
//
// [Log.Put] copies a record into a buffer, and never waits for a disk. A goroutine, the
// writer, takes the whole buffer every 100 ms, or when it is half full, encodes the records
// as CSV or as lines of JSON, and appends them to the files.
//
// # What is lost when
//
// Every record has the process and a number in it. The numbers of a process have no gaps:
// a record that is not written has a number too, and a record of the type drop says how
// many are missing, from which to which. It stands before the records that follow.
//
//   - The buffers are full, since the disk is too slow or hangs: records are dropped until
//     the writer comes back.
//   - The disk has less room than Config.MinFree, or a file cannot be written: the records
//     of that time are dropped, and the next ones are tried.
//   - The process is killed: what the writer did not have yet is lost, 100 ms as a rule. A
//     page of shared memory, the state file, has the highest number that was given. The
//     next process reads it, and its start record says how many records are missing.
//   - The host loses power: what the system had not put on the disk is lost as well, and
//     the start record does not know how many there were.
//
// # Locks
//
// Log.mu guards the buffer that is being filled, and the state file. It is a leaf, and held
// while a record is copied. The files belong to the writer.
package accounting
