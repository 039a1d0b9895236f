// Package logging makes the logger of the process and the places that its lines go to.
//
//   - Who logs does not wait. A goroutine for each place writes what waits in a queue of at
//     most 8,192 lines and 4 MiB.
//   - A place that takes no lines, such as a full disk or a closed pipe, costs lines and
//     nothing else. They are counted (log_lines_lost_total). Standard error is told of a log
//     file once a minute. The first line that is taken again comes after one that says how
//     many are missing.
//   - Under systemd each line to the journal has its priority, see sd-daemon(3).
//   - Warnings and errors that repeat, in all but their numbers and times, are logged
//     [burst] times in a [window]. Then a line with "repeated" says how many were left out.
//   - Fields that are empty texts are left out. Durations are written as "1.5s".
//
// # Locks
//
// repeats.mu guards the lines that were seen, and is a leaf.
package logging
