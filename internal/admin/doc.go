// Package admin is the HTTP server for operators, on a listener of its own:
//
//	GET /metrics       Prometheus text format
//	GET /health        200 as long as the process serves
//	GET /ready         200, or 503 with the reasons why mail is not accepted
//	GET /debug/pprof/  profiles, when Config.Pprof is set
//
// and, with [Server.HandleAPI], the admin API:
//
//	GET    /admin/accounts                  all accounts
//	POST   /admin/accounts                  add one
//	POST   /admin/accounts/batch            add up to 100
//	DELETE /admin/accounts?confirm=true     take all out
//	DELETE /admin/accounts/invalid          take those out that are proven dead
//	GET    /admin/accounts/{email}          state of one
//	DELETE /admin/accounts/{email}          take one out
//	POST   /admin/accounts/{email}/pause    and .../resume, .../drain
//	POST   /admin/accounts/verify           verify one that is in force
//	GET    /admin/info                      which proxy this is
//	POST   /admin/reload                    read the files again
//	GET    /admin/log/level                 and PUT
//
// The first six and their answers are those of the original. All that change
// accounts take ?dry_run=true. configs/openapi.json describes every route,
// status and field; a test holds it against the server.
//
// Any other path is 404, another method on a known path 405, both with the
// JSON body {"success":false,"error":"..."}, as all errors have it.
//
// More routes are added by [Server.Handle] before [Server.Start]. The package
// imports nothing of the proxy: what it shows comes as functions and metric
// sets, what it changes is behind [API].
//
// A handler runs on the connection's goroutine, and Close waits for it.
//
// # Who may ask what
//
// There are two listeners, the address and the admin socket, with the same routes
// and a cap of connections each.
//
// Metrics and health hold no secret and name no account: whoever can reach the
// address may read them. Below /admin and /debug:
//
//   - The admin socket (socket.go) asks the system who its peer is. Root and the
//     user of this process may do everything, others nothing.
//   - On the address, a bearer token is needed if one is set. Without one the
//     server listens on the loopback only, and there it serves what only reads:
//     every other request below /admin is 401, with the socket as the remedy.
//
// Requests that a web page made a browser send are refused.
//
// Each verification is logged with who asked for it: a "uid" of the socket, or an
// address.
package admin
