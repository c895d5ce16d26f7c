package recovery

import "math"

// z is the 97.5 % quantile of the normal distribution, so that intervals are at 95 %.
const z = 1.959964

// interval is a share, or a difference of shares, and between what the true one lies with 95 % confidence.
type interval struct{ point, low, high float64 }

// wilson returns a share with Wilson's score interval, without a correction for continuity: E. B. Wilson, Probable inference, the
// law of succession, and statistical inference, Journal of the American Statistical Association 22 (1927), 209-212. Of the
// methods that R. G. Newcombe compares in Two-sided confidence intervals for the single proportion, Statistics in Medicine 17
// (1998), 857-872, it is number 3. The count must be above 0.
func wilson(positive, count int32) interval {
	x, n := float64(positive), float64(count)
	share := x / n
	middle := 2*x + z*z
	half := z * math.Sqrt(z*z+4*x*(1-share))
	whole := 2 * (n + z*z)
	return interval{share, max(0, min(share, (middle-half)/whole)), min(1, max(share, (middle+half)/whole))} // whatever is rounded
}

// newcombe returns how far one share is above another, with the interval that is made of the Wilson intervals of both: R. G.
// Newcombe, Interval estimation for the difference between independent proportions: comparison of eleven methods, Statistics
// in Medicine 17 (1998), 873-890, method 10.
func newcombe(a, b interval) interval {
	d := a.point - b.point
	return interval{d, d - math.Hypot(a.point-a.low, b.high-b.point), d + math.Hypot(a.high-a.point, b.point-b.low)}
}
