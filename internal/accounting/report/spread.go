package report

import (
	"math/bits"
	"time"
)

// spread is the distribution of a time. A bucket is an eighth of the power of two below it wide,
// so that a percentile is at most an eighth too long.
type spread struct {
	buckets [8 * 34]uint32 // of microseconds, up to two hours
	count   uint64
}

func (s *spread) add(d time.Duration) {
	s.buckets[min(bucketOf(uint64(max(d.Microseconds(), 0))), len(s.buckets)-1)]++
	s.count++
}

// bucketOf numbers the buckets: the first 16 are one microsecond wide.
func bucketOf(us uint64) int {
	if us < 16 {
		return int(us)
	}
	shift := bits.Len64(us) - 4 // us>>shift is from 8 to 15
	return 8*shift + int(us>>shift)
}

// endOf is the longest time of a bucket.
func endOf(bucket int) time.Duration {
	if bucket < 16 {
		return time.Duration(bucket) * time.Microsecond
	}
	shift := bucket/8 - 1
	return time.Duration((uint64(bucket%8+8)+1)<<shift-1) * time.Microsecond
}

// percentile returns the time that p of 100 do not exceed; 0 if there are none.
func (s *spread) percentile(p uint64) time.Duration {
	rank, seen := (s.count*p+99)/100, uint64(0)
	for i, n := range s.buckets {
		if seen += uint64(n); n > 0 && seen >= rank {
			return endOf(i)
		}
	}
	return 0
}
