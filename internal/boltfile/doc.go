// Package boltfile keeps databases of go.etcd.io/bbolt whose files may be damaged.
//
// bbolt maps the file into memory and trusts it: a damaged one makes it panic, loop, or
// read beyond the file, which ends the process by SIGBUS. [Open] therefore reads the whole
// file by read(2) first, and checks that bbolt can walk through all of it. It holds the
// lock of bbolt meanwhile, so that no other process changes the file.
//
// A file can also break while it is open: a disk fails, or another program cuts it. Each
// operation runs on a goroutine on which a memory fault is a panic, and recovers from it.
// After a fault the locks of bbolt may be held for ever. The file is then lost: it is not
// closed but abandoned, and running and later operations return [ErrLost] at once.
//
// # Locks
//
// File.mu guards the calls of Batch that wait for a common write. It is a leaf.
package boltfile
