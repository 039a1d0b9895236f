// Package upgrade replaces the running process by another one of the same host, without a
// connection that is refused.
//
// The running process, here the old one, starts the program anew with the arguments that it
// was started with itself. The new process inherits two sockets, one for what is told below
// and one for the stores, the listening sockets, standard error and the old program:
//
//	old                                      new
//	starts the program
//	                                         reads its files
//	                                <------- prepared
//	take -------------------------->
//	Giver.Give: closes its files
//	                                         Taker.Await; opens the files; all parts start
//	                                <------- ready
//	stops accepting
//	accept ------------------------>
//	                                         accepts
//	                                <------- accepting
//	ends its sessions, slowly
//	waits for its messages
//	Giver.Finish
//	end of the socket ------------->
//	                                         is alone
//
// The listening sockets stay open in both: their backlogs are shared, so that a connection
// waits there while neither accepts, and each is accepted by one.
//
// Until "accepting" a new process that ends, says "failed" or is late changes nothing: it is
// killed, and the old one has its files again and accepts again. After it the old one still
// begins again if the new one ends, until it stops for good; the new one says "leaving" if it
// ends by a signal. A new process whose old one ends takes over at once, at whichever step.
package upgrade
