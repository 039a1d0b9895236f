// Perf measures the speed of the whole path: go run ./perf COMMAND, and --help for the
// flags. Each command is a package:
//
//   - suite measures the proxy over a matrix of connections, sizes, provider latencies
//     and numbers of accounts, against the sandbox, with proof of delivery;
//   - sidebyside measures it beside HAProxy and nginx (peers.sh installs them), with
//     one loader and one sink;
//   - variants compares settings of its environment and its configuration, or several
//     builds of it;
//   - features measures what metrics, limits, logging and accounting cost a message;
//   - endurance runs the headline's rate for minutes on end to a provider at a
//     distance, with proof and memory by the minute;
//   - syscalls counts system calls for each message;
//   - profile leaves profiles and flame graphs of a load or of a proxy that runs
//     already, and compares two of them;
//   - idle measures what idle clients cost in memory, and whether slow ones (slowloris)
//     hold up the others;
//   - overload measures where more is asked than there is, and many accounts with few
//     connections each;
//   - accounts measures what ten thousand accounts cost: start to first message,
//     memory, reload;
//   - scale has several proxies send for the same mailboxes, and compares what the
//     provider counts over all of them with the limits;
//   - upgrade has a running proxy replaced under load, and counts what clients notice;
//   - soak runs load, faults, reloads, restarts and rests, and fails on any loss, double
//     or growth, and on a proxy that is busy at rest;
//   - plot draws the plots of BENCHMARKS.md from the figures that are kept in the tree.
//
// Beside them: sink is the far end of the comparisons, as cheap as it can be; lab and
// flame are what the commands have in common.
//
// The measuring commands write Markdown tables. They run all that they compare
// once a round and give the medians over the rounds, so that a noisy minute of
// the machine touches all alike; ratios are medians of the ratios within a
// round. Everything stays on loopback, in temporary folders, on free ports and in
// processes of its own, which end with it.
//
// Exit codes: 0 measured; 1 a measurement failed, or what it looks for is wrong; 2 wrong
// command line.
package main
