//go:build race

package matrix

// raceDetector tells whether the tests run under the race detector.
const raceDetector = true
