package features

import (
	"strings"

	"github.com/google/pprof/profile"
)

// A group is one of the features, and how its code is told in a profile: by the
// path of a source file, of which one of these is a part.
type group struct {
	name  string
	files []string
}

// groups are all features; a sample is one of the first group that it matches.
var groups = []group{
	{"logging", []string{"go.uber.org/zap"}},
	{"metrics", []string{"VictoriaMetrics/metrics", "VictoriaMetrics/histogram", "/upstream/internal/counters/", "/upstream/internal/carry/metrics.go", "/upstream/internal/login/metrics.go", "/server/internal/counters/", "/oauth/internal/counters/"}},
	{"accounting", []string{"/upstream/quota.go", "/internal/quota/", "go.etcd.io/bbolt"}},
	{"limits", []string{"/upstream/internal/limit/", "/upstream/limits.go", "/upstream/mailbox.go", "/upstream/internal/carry/prepare.go", "/upstream/internal/throttle/state.go"}},
}

// shares are the groups' parts of a profile, in their order: with what they
// call, of one.
type shares struct {
	shares  []float64
	samples int64
}

// sharesOf reads a CPU profile.
func sharesOf(text []byte) (*shares, error) {
	p, err := profile.ParseData(text)
	if err != nil {
		return nil, err
	}
	found := &shares{shares: make([]float64, len(groups))}
	for _, s := range p.Sample {
		found.samples += s.Value[0] // the other value is the same in nanoseconds
	}
	for _, s := range p.Sample {
		if i := groupOf(s); i >= 0 {
			found.shares[i] += float64(s.Value[0]) / float64(found.samples)
		}
	}
	return found, nil
}

// groupOf returns the index of the sample's group, -1 if it is of none. Inlined
// functions count as well.
func groupOf(s *profile.Sample) int {
	for i, g := range groups {
		for _, location := range s.Location {
			for _, line := range location.Line {
				for _, part := range g.files {
					if line.Function != nil && strings.Contains(line.Function.Filename, part) {
						return i
					}
				}
			}
		}
	}
	return -1
}
