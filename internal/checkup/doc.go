// Package checkup finds what is wrong with settings and accounts beyond the form of their
// files: values that were never filled in, tokens that cannot work, and what this host
// lacks. It opens nothing for good and asks no provider.
package checkup
