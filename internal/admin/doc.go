// Package admin is the HTTP server for operators, on a listener of its own:
//
//	GET /              the routes
//	GET /metrics       Prometheus text format
//	GET /metrics/accounts  the same of each account, when Config.AccountMetrics is set
//	GET /health        200 as long as the process serves
//	GET /ready         200, or 503 with the reasons why mail is not accepted
//	GET /debug/pprof/  profiles, when Config.Pprof is set
//
// and, with [Server.HandleAPI], the admin API:
//
//	GET    /admin/accounts                  all accounts
//	POST   /admin/accounts                  add one
//	POST   /admin/accounts/batch            add up to 100
//	DELETE /admin/accounts?confirm=true     remove all
//	DELETE /admin/accounts/invalid          remove those that are proven dead
//	GET    /admin/accounts/{email}          state of one
//	DELETE /admin/accounts/{email}          remove one
//	POST   /admin/accounts/{email}/pause    and .../resume, .../drain
//	POST   /admin/accounts/verify           verify one that is in force
//	GET    /admin/info                      which proxy this is
//	GET    /admin/tenants                   how much of its limit each tenant has used
//	GET    /admin/nodes                     the proxies that share their limits
//	POST   /admin/reload                    read the files again
//	POST   /admin/upgrade                   a new process replaces this one
//	GET    /admin/log/level                 and PUT
//
// The original has the first six, with the same answers. All routes that change accounts
// take ?dry_run=true. configs/openapi.json describes every route, status and field; a test
// compares it with the server.
//
// {email} is percent-encoded: a slash in it is sent as %2F.
//
// Any other path is 404, another method on a known path 405, both with the
// JSON body {"success":false,"error":"..."}, as all errors have it.
//
// [Server.Handle] adds more routes before [Server.Start]. The package knows nothing of
// mail: it shows the results of functions and metric sets, and changes things through
// [API].
//
// A handler runs on the connection's goroutine, and Close waits for it.
//
// # Access
//
// There are two listeners, the address and the admin socket, with the same routes
// and a cap of connections each.
//
// Metrics and health hold no secret and name no account: any program that can reach the
// address may read them. Below /admin and
// /debug, and for the metrics of accounts:
//
//   - The admin socket (socket.go) asks the system who its peer is. Root and the
//     user of this process may do everything, others nothing.
//   - On the address, a bearer token is needed if one is set. Without one the
//     server listens on the loopback only, and serves there only requests that read:
//     every other request below /admin is 401, and the error names the socket.
//
// Requests that a web page made a browser send are refused, unless they have the
// token. Without a token, the host that a request names must be localhost, a loopback
// address or one of Config.Hosts.
//
// Each verification is logged with its requester: a "uid" of the socket, or an address.
package admin
