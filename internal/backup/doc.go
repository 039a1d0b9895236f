// Package backup copies what a proxy must not lose into one file, back, and to other paths:
// accounts, token store, counts of the day, operators' orders, and the key that seals
// secrets. It does not copy config.json, which says where each of them is, nor files that
// the accounts refer to.
//
// # The archive
//
// An archive is a tar file in gzip. The first entry, backup.json, has the number of the
// format, and size and SHA-256 of each further entry. [Read] takes it whole or not at all.
// What is sealed stays sealed; the key is in it on demand only.
//
// # Consistency
//
// [Collect] needs no proxy to stop. It has the lock of the accounts file, so that accounts
// and token store fit each other, and copies a database as one transaction left it
// (boltfile.Snapshot). What the proxy has in memory only is not in it: the counts of the last
// seconds, and tokens that it cannot save.
//
// [Restore] and [Move] need a proxy that is stopped, which the caller finds out. They hold
// the locks of the databases that are there, so that none starts meanwhile. They check
// everything before the first file is replaced. The accounts are replaced last, without which
// a proxy does not start, and [Move] removes them first. Each file is replaced whole or not
// at all; after a kill the same call goes on, since a file with the right content is done.
package backup
