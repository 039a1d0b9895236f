package pages

// Meaning explains a line of the log.
type Meaning struct {
	When string // as a clause
	Do   string // as a clause; "" for nothing to do
}

const (
	report    = "a fault of the proxy: report it with the line's stack"
	hinted    = "what hint says; [troubleshooting.md](troubleshooting.md) has it by name"
	correctIt = "correct what problems says; `xoauth2-proxy check` shows it with file, line and key"
	space     = "look at the space and the permissions of its directory"
	fromBack  = "restore the file from a backup if what it had matters"
	client    = "look at the client's log"
	ofClients = "correct the client; `left_out` in a later line says how many were not written"
)

// Meanings explains each line of the log by its text.
var Meanings = map[string]Meaning{
	// cmd
	"cannot start": {"the proxy ends with a code above 0", correctIt},

	// internal/accounting
	"an unfinished record at the end of the accounting log was cut off":                                      {"the process before was killed in a write", ""},
	"cannot use the state file: after a crash it is not known how many records are missing":                  {"the file beside the accounting log cannot be opened", space},
	"cannot keep the state file: after a crash it is not known how many records are missing":                 {"in an upgrade, the file beside the accounting log cannot be renamed", space},
	"a file of the accounting log keeps its name":                                                            {"a process that was replaced has ended, and its file cannot be renamed: it is read all the same", space},
	"cannot write the accounting log: records are dropped":                                                   {"a write failed, or too little space is left", space},
	"records of the accounting log are missing: the process before was killed":                               {"the process before was killed before it had written them", "find the messages in the client's log"},
	"the accounting log is written again":                                                                    {"what made records be dropped has ended", "note records_dropped: they are missing"},
	"panic while writing the accounting log":                                                                 {"records met a fault of the program and are missing; those after them are written", report},
	"the file of the accounting log was moved or cut off by another program: it is opened anew":              {"a program such as logrotate moved it", ""},
	"the state file of the accounting log broke: after a crash it is not known how many records are missing": {"a write to the file failed", space},

	"the file of the accounting log stays: it is tried again later":     {"it should be rotated, and cannot be renamed", space},
	"cannot open the accounting log anew yet":                           {"SIGHUP came, and the file cannot be opened", space},
	"the accounting log has not ended: its last records may be missing": {"the shutdown did not wait longer for the writes", space},

	// internal/admin
	"account verified by the admin API":            {"POST /admin/accounts/verify has ended", ""},
	"admin connection":                             {"the HTTP server says something about a connection", ""},
	"admin connection ended":                       {"a connection ended with an error", ""},
	"admin handler panicked":                       {"a request met a fault, and was answered with 500", report},
	"cannot accept an admin connection":            {"accept failed; it is tried again", "look at the limit on descriptors"},
	"cannot identify the peer of the admin socket": {"the system did not say who it is; it is refused", ""},
	"cannot make the admin socket: commands for a running proxy do not find this one, and without admin.token nothing can be changed by the admin API; set admin.socket or state_dir": {
		"no directory for the socket can be written", "set admin.socket or state_dir, or correct the permissions"},

	// internal/app
	"upgrade: starting the new process":                                                              {"an operator asked for an upgrade, and this process starts a new one by the path that it was started by", ""},
	"upgrade: the new process accepts":                                                               {"the new process has the stores and the listening sockets; this one ends its sessions", ""},
	"upgrade: nothing has changed":                                                                   {"the new process did not come to accept; this one goes on with all that it had", "look at error, correct what it says, and upgrade again"},
	"upgrade: what this process saves is in memory only":                                             {"the new process has ended, and a file cannot be opened again", "look at error; upgrade again or restart when the file can be opened"},
	"upgrade: the new process has ended, this one goes on":                                           {"the new process ended after it accepted, by itself; this one accepts again", "look at state and stderr; report a crash"},
	"upgrade: going back to this process":                                                            {"an operator asked to go back; this process accepts again", ""},
	"upgrade: the new process has ended, and this one has its stores again":                          {"the way back is complete", ""},
	"upgrade: the old process accepts again, this one ends":                                          {"an operator asked to go back; this process ends its sessions", ""},
	"upgrade: this process replaces another one":                                                     {"how far it is in taking over", ""},
	"upgrade: the process before this one has ended":                                                 {"it has ended its sessions; it_said_all is false if it was killed: counts of its last 5 s may be missing", ""},
	"upgrade: another process accepts, sessions end one after the other; a signal ends them at once": {"this process was replaced", ""},
	"upgrade: the other process does not have all":                                                   {"what this process counted or saved last did not reach the new one", "look at error and at the log of the new process"},
	"upgrade: this process goes on to take requests of operators":                                    {"it has no descriptor left; requests reach one of both processes", "raise LimitNOFILE"},
	"cannot tell systemd how the process does":                                                       {"its socket does not take the message", "look at the unit; systemd may restart the process"},
	"account ordered by the admin API":                                                               {"an operator paused, resumed or drained it", ""},
	"accounts cannot connect from their ip_address, and their messages get 451":                      {"the address is not of this host", "correct ip_address, or give the host the address"},
	"accounts changed by the admin API":                                                              {"accounts were added, replaced or removed", ""},
	"accounts were not saved, and their new refresh tokens are kept; accounts import --overwrite saves them": {
		"the accounts file cannot be written, and providers have replaced tokens", "correct what keeps the file from being written, then `xoauth2-proxy accounts import --overwrite FILE`"},
	"accounts were not saved, and their new refresh tokens are lost":                         {"neither the accounts file nor a file beside it can be written", "authorize these accounts again, after the directory can be written"},
	"cannot open the log anew, it goes on as before":                                         {"SIGHUP came, and the log's file cannot be opened", space},
	"cannot tell how often systemd wants to hear of the process":                             {"WATCHDOG_USEC is no number", "correct the unit"},
	"certificate read again":                                                                 {"the files of a listener's certificate have changed", ""},
	"changes of a file are not noticed; SIGHUP reloads it":                                   {"its directory cannot be watched", "send SIGHUP after a change"},
	"closing connections to providers":                                                       {"not all ended in time at the shutdown", ""},
	"closing the admin listener":                                                             {"it did not close in order", ""},
	"closing the token store":                                                                {"the file could not be closed", space},
	"configuration":                                                                          {"a reload says what is in force, line by line", ""},
	"draining soon: /ready is 503, and new connections are taken until the delay has passed": {"SIGTERM came, and there is a drain delay", ""},
	"draining: no new connections, running messages finish; a second signal ends at once":    {"SIGTERM or SIGINT came", ""},
	"entries of the accounts file are wrong and left out":                                    {"a start or reload found accounts with mistakes; the others work", correctIt},
	"files are not watched; SIGHUP reloads them":                                             {"the system gives no watch", "send SIGHUP after a change"},
	"listening for clients":                                                                  {"the proxy has started; a line for each address", ""},
	"listening for metrics and health":                                                       {"the proxy has started", ""},
	"log level changed by the admin API":                                                     {"PUT /admin/log/level; it holds until a reload that changes it", ""},
	"reload refused, nothing was changed":                                                    {"a file has a mistake, or most accounts would go", correctIt + "; `xoauth2-proxy` takes removals with `--accept-removals`"},
	"reloaded":                                                                               {"the files were read again, by cause; a warning if accounts went", ""},
	"runtime.scheduling: the threads keep the normal policy":                                 {"the system refuses another one", "give the process CAP_SYS_NICE, or leave the key out"},
	"some settings are changed in the file and take a restart":                               {"a reload found settings that cannot change in a running process", "restart the proxy"},
	"stopped":                             {"the process ends in order", ""},
	"the counts of the day are not saved": {"state_dir cannot be written at the end", space},
	"the counts of the day were damaged and begin anew":                                       {"the file cannot be read; kept has it", "know that accounts may exceed their day's limits once"},
	"the drain timeout has passed, sessions were cut off":                                     {"clients or providers took longer than server.drain_timeout", "the clients send their messages again"},
	"the file with the counts of the day broke while it was in use: a new one has them":       {"a write to it failed; kept has it", space},
	"the new certificate cannot be used, the old one stays":                                   {"its files are damaged, or do not belong together", "correct the files of the listener's tls"},
	"the orders for removed accounts are not forgotten for good":                              {"the file of orders cannot be written", space},
	"the orders of operators were damaged: accounts that were paused are not any more":        {"the file cannot be read; kept has it", "pause these accounts again; " + fromBack},
	"the process ends although not all has stopped: a part is stuck":                          {"the shutdown waited 10 s beyond the drain timeout", report},
	"the process ends although not all has stopped: a second signal came":                     {"the operator did not want to wait", ""},
	"the process ends although not all has stopped: the deadline after the signal has passed": {"something hangs; stuck names it if it is known", report},
	"the token store cannot be sealed with the new key: it keeps the old one":                 {"secrets.key was replaced, and the store cannot be written", "keep the old key; `xoauth2-proxy rotate-key` does all of it, and can be repeated"},
	"watching files": {"the system reports an error of a watch", "send SIGHUP after a change"},

	"something ends within 7 days: \"xoauth2-proxy forecast\" lists it, with what to do": {"a token, a secret, a certificate or a day's limit comes to its end", "`xoauth2-proxy forecast`"},

	// internal/share
	"cannot join the nodes that share limits yet: nothing begins": {"the store of the shared limits did not answer at the start; it is tried again", "look at the store and the network to it; the messages of all accounts are deferred"},
	"the node shares limits":                                                                         {"the store of the shared limits has taken the node", ""},
	"the node may not share limits: nothing new begins":                                              {"other nodes use another seal key or protocol", "give all nodes the same seal key and version"},
	"the store of the shared limits does not answer: nothing new begins":                             {"it has not answered for longer than leases last; written once", "bring the store or the network to it back; the messages of all accounts are deferred"},
	"the store of the shared limits answers again":                                                   {"the outage has ended", ""},
	"the store of the shared limits began anew: it is told again what this node has and has counted": {"it was restarted or emptied, or a replica took its place; little is granted for a minute", "nothing, unless it happens often"},
	"cannot announce the node to the store of the shared limits":                                     {"a sign of life was not answered", ""},
	"the events of the shared limits are lost":                                                       {"the connection for them broke; it is made again, and all is renewed", "look at the store if it happens often"},
	"what the node had leased is not given back: it ends by itself":                                  {"the store did not answer at the shutdown", ""},
	"a token record of another proxy cannot be opened: such records are not used": {
		"it was sealed with another key, or was changed in the store of the shared limits", "give all proxies the same key; if they have it, look who can write to the store"},
	"account ordered by another proxy":                              {"an operator paused, resumed or drained it there", ""},
	"an order of another proxy holds, but only until this one ends": {"the file of the orders cannot be written", space},
	"the other proxies do not know an order yet: it holds here, and is given when the store of the shared limits answers": {
		"an operator gave an order while the store did not answer", "bring the store back; until then give the order on the other proxies too"},

	// internal/watchdog
	"a part of the process is stuck":               {"a loop, a shard, a token worker or a store has ended no piece of work for 5 s", "restart the proxy; " + report},
	"a part of the process that was stuck goes on": {"it came back", "look at what the host was waiting for"},

	// oauth
	"OAuth2 client refused: no account of it gets a new token":                  {"the provider refuses client_id and client_secret", hinted},
	"token URL is no token endpoint: no account of the client gets a new token": {"what answers there is something else", hinted},
	"it is not known when the account was used last":                            {"the token store cannot be read for it", space},
	"no token endpoint can be reached over https":                               {"no certificate authorities were found on the host", "install ca-certificates, or set oauth.ca_file"},
	"the token endpoint's answers have fields that cannot be read, and count as absent; a token without expires_in counts as good for oauth.default_lifetime": {
		"once for each client; answer_fields names them", "look at what answers at token_url"},
	"the token store cannot be tidied": {"records of accounts that are gone stay", space},
	"token refresh failed":             {"an error if an operator must act, else a warning", hinted},
	"token refresh panicked":           {"a refresh met a fault; it is tried again", report},
	"token refreshed":                  {"an account has a new access token", ""},
	"tokens cannot be saved: refresh tokens that providers replaced are lost, and their accounts may have to be authorized again": {
		"the token store could not be written up to the end", "authorize these accounts again if their tokens are refused"},
	"tokens cannot be saved; it is tried again every few seconds, and a rotated refresh token will be lost on exit": {
		"the token store cannot be written", space + ", before the process ends"},
	"tokens that could not be saved are saved now": {"the token store can be written again", ""},

	// server
	"HTTP request in place of SMTP, session ended":                          {"a web client has connected", "look at who connects from remote"},
	"TLS handshake failed":                                                  {"the client and the listener found no common ground, or it took too long", client},
	"bad PROXY header":                                                      {"a client in proxy_from sent none, or a malformed one", "have the load balancer send it, or correct listeners[].proxy_from"},
	"cannot accept a connection":                                            {"accept failed; it is tried again", "raise the limit on descriptors"},
	"cannot serve a connection":                                             {"a new connection could not be set up", "raise the limit on descriptors"},
	"cannot write the final reply: the connection is broken":                {"the client may send the message again although the provider has it", client},
	"client had closed its side before the final reply and may not read it": {"the same", client},
	"client had gone before the final reply":                                {"the same", client + ": its timeout after end-of-data should be ten minutes"},
	"command":                                                               {"a client sent a command", ""},
	"login refused: malformed":                                              {"the response of AUTH is not what its mechanism has", ofClients},
	"login refused: no access token":                                        {"the token could not be got; at level debug if another line has told it", "look at the line \"token refresh failed\" of the account"},
	"login refused: the account's entry in the file is wrong":               {"a reload left the account out", correctIt},
	"login refused: too many failures":                                      {"from the address, or to the account", "correct the password in the client"},
	"login refused: too many wait for a check":                              {"password checks take longer than logins come", "have clients keep their sessions"},
	"login refused: wrong password, or no such account":                     {"user is what the client gave", ofClients},
	"panic in a handshake, whose session is closed":                         {"a session met a fault; the others go on", report},
	"panic in a session, which is closed":                                   {"the same", report},
	"panic in the check of a password, whose login fails":                   {"the same", report},
	"panic while preparing for new accounts: EHLO replies and unknown logins stay as they were": {"a reload met a fault", report},
	"client refused with ...": {"a reply of ours refused a client; reason is its text", "look the text up in [troubleshooting.md](troubleshooting.md)"},
	"message accepted":        {"the provider has the message (log.messages \"all\")", ""},
	"message not accepted":    {"the client got this reply; class and hint say why", hinted},

	// upstream
	"account held until an operator acts":                              {"the provider refuses its login or its sending; one message tries at next_probe", hinted},
	"account is held, one message tries whether the provider takes it": {"the time of the try has come", ""},
	"account paused, the provider's quota is used up":                  {"the provider said so", "wait: its messages are refused for now"},
	"account released, the provider takes its mail again":              {"the try succeeded", ""},
	"account throttled": {"the provider slows it; it has fewer connections for a while", ""},
	"counts of the day are not saved: after a restart accounts may exceed their limits": {"state_dir cannot be written", space},
	"upstream login failed": {"a connection could not be opened; phase says how far it came", hinted},
	"8-bit content goes to a provider without 8BITMIME, undeclared by the client":   {"the client did not declare BODY=8BITMIME; providers take it all the same", "have the client declare it"},
	"a message ended after its client had been answered, since its shard was stuck": {"the client may send it again", "look at the line \"a part of the process is stuck\""},
	"message":              {"recipients failed together at level info; at debug each message", ""},
	"panic while relaying": {"a message or a connection met a fault; the others go on", report},
	"provider announces CHUNKING and does not know BDAT: content goes by DATA":    {"it refused BDAT; remembered for a day", "put CHUNKING into providers.NAME.avoid"},
	"provider announces CHUNKING and has not answered BDAT: content goes by DATA": {"it did not answer; remembered for an hour", "put CHUNKING into providers.NAME.avoid if it comes again"},
	"provider ends connections after some messages: they are closed before":       {"learnt from its ends", ""},
	"provider takes one form of AUTH only":                                        {"it refused the other one", "set providers.NAME.initial_response"},
	"circuit breaker of an endpoint":                                              {"an endpoint failed in a row, or works again", "look at the provider's state if it stays open"},
}
