package main

import (
	"fmt"
	"slices"
	"time"
)

// median returns the middle of some numbers, of which there is at least one.
func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// percentile returns what so many in a hundred are at most; 0 of none.
func percentile(of []time.Duration, p float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p/100))]
}

// micro is a duration in microseconds, as figures are shown.
func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// kib is a number of bytes in KiB.
func kib(bytes int64) float64 { return float64(bytes) / 1024 }

// spread shows a median, and the smallest and largest of what it is of.
func spread(of []float64) string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(of), slices.Min(of), slices.Max(of))
}
