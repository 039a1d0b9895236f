// Package perf is where the speed of the whole path is measured. It has no
// code of its own; its folders are
//
//   - suite: go run ./perf/suite measures the proxy over a matrix of
//     connections, sizes, provider latencies and numbers of accounts, against
//     the sandbox, with proof of delivery;
//   - sidebyside: go run ./perf/sidebyside measures it beside HAProxy and nginx
//     (peers.sh installs them), with one loader and one sink;
//   - profile: go run ./perf/profile leaves profiles and flame graphs of a
//     load, and compares two of them;
//   - idle: go run ./perf/idle measures what idle clients cost in memory, and
//     whether slow ones (slowloris) hold up the others;
//   - accounts: go run ./perf/accounts measures what ten thousand accounts cost:
//     start to first message, memory, reload;
//   - sink: the far end of sidebyside and profile;
//   - lab, flame: what the commands have in common.
//
// Both measuring commands write Markdown tables. They run every cell once a
// round and give the medians over the rounds, so that a noisy minute of the
// machine touches all cells alike. Everything stays on loopback, in temporary
// folders, on free ports and in processes of its own, which end with it.
package perf
