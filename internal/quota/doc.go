// Package quota keeps in a file how many messages and recipients each account has sent in
// each of the last hours, so that limits of a day hold over restarts.
//
// The file is a database of go.etcd.io/bbolt, for one process at a time. It has
// one key for each account and hour. All counts are in memory too: only Open
// and Flush touch the disk. A process that is killed loses the counts that it did not
// flush; the file is whole at every moment.
//
// The bucket "meta" has the number of the format, the bucket "hours" the counts. A file
// without a number is of format 1; a file of another format is neither read nor changed.
// A damaged file is renamed, when it is opened and also when it breaks while it is in use.
// In the second case the new file gets all counts; see package boltfile for how faults of
// bbolt are survived.
//
// Hours are numbered since the Unix epoch. Those that are older than [Keep] are
// removed when the file is opened and, hour by hour, by Flush.
package quota
