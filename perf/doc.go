// Package perf is where the speed of the whole path is measured. It has no
// code of its own; its folders are
//
//   - suite: go run ./perf/suite measures the proxy over a matrix of
//     connections, sizes, provider latencies and numbers of accounts, against
//     the sandbox, with proof of delivery;
//   - sidebyside: go run ./perf/sidebyside measures it beside HAProxy and nginx
//     (peers.sh installs them), with one loader and one sink;
//   - variants: go run ./perf/variants compares settings of its environment and
//     its configuration, or several builds of it;
//   - features: go run ./perf/features measures what metrics, limits, logging
//     and accounting cost a message;
//   - endurance: go run ./perf/endurance runs the headline's rate for minutes on
//     end to a provider at a distance, with proof and memory by the minute;
//   - syscalls: go run ./perf/syscalls counts system calls for each message;
//   - profile: go run ./perf/profile leaves profiles and flame graphs of a
//     load, and compares two of them;
//   - idle: go run ./perf/idle measures what idle clients cost in memory, and
//     whether slow ones (slowloris) hold up the others;
//   - overload: go run ./perf/overload measures where more is asked than there
//     is, and many accounts with few connections each;
//   - accounts: go run ./perf/accounts measures what ten thousand accounts cost:
//     start to first message, memory, reload;
//   - soak: go run ./perf/soak runs load, faults, reloads, restarts and rests, and
//     fails on any loss, double or growth, and on a proxy that is busy at rest;
//   - sink: the far end of those that compare CPU time, as cheap as it can be;
//   - lab, flame: what the commands have in common.
//
// The measuring commands write Markdown tables. They run all that they compare
// once a round and give the medians over the rounds, so that a noisy minute of
// the machine touches all alike; ratios are medians of the ratios within a
// round. Everything stays on loopback, in temporary
// folders, on free ports and in processes of its own, which end with it.
package perf
