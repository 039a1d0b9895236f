// Package tenant holds what a provider allows a whole organization: how many external
// recipients all accounts of a Microsoft 365 tenant may have in 24 hours. Microsoft takes
// the messages above that by 250 and bounces them later, so the limit is kept here.
//
// The accounts of a tenant are spread over all shards. A [Tenant] therefore counts for
// itself, under a lock of its own, with the meter that mailboxes have (package limit). A
// recipient takes its place before it is sent. With the outcome it counts if the provider
// accepted the message or may have; else the place is free again. So the provider never
// counts more than the limit in any 24 hours.
//
// A [Set] has the tenants by each of their names. Its counts are in the store of the
// mailboxes' counts, under keys of their own.
package tenant
