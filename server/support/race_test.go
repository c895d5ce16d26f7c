//go:build race

package support_test

// raceDetector says whether the tests were built with the race detector.
const raceDetector = true
