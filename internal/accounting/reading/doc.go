// Package reading reads accounting logs: CSV with any choice of fields and lines of JSON, plain
// or compressed by gzip or zstd, one record a line.
//
// [Files] finds the files of an argument, [Reader.File] reads one. A line that is no record is
// handed to Reader.Damaged, and reading goes on with the next one. Memory does not grow with
// the number of records.
package reading
