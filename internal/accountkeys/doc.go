// Package accountkeys has the keys that an account of accounts.json and a section
// providers.NAME of config.json have alike: limits, rates, retries, and how hosts,
// URLs and passwords are read.
package accountkeys
