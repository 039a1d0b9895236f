package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// A mix is a distribution of message sizes.
type mix struct {
	templates []*template
	upTo      []float64 // cumulative shares, the last one is 1
}

// pick returns the template of message seq. It depends on nothing else, so
// that the expected content can be made again afterwards.
func (m *mix) pick(seq int) *template {
	if len(m.templates) == 1 {
		return m.templates[0]
	}
	p := float64(scramble(uint64(seq))>>11) / (1 << 53)
	for i, upTo := range m.upTo {
		if p < upTo {
			return m.templates[i]
		}
	}
	return m.templates[len(m.templates)-1]
}

// scramble is the finalizer of splitmix64: neighbours become unrelated.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// sizeShare is one size in a mix and its weight.
type sizeShare struct {
	size   int
	weight float64
}

// sizeMix is a distribution of sizes as given on the command line: "10k", or
// sizes with weights, "2k:50,10k:40,100k:10".
type sizeMix []sizeShare

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *sizeMix) UnmarshalText(text []byte) error {
	*m = nil
	for part := range bytes.SplitSeq(text, []byte(",")) {
		size, weight, weighted := strings.Cut(string(part), ":")
		share := sizeShare{weight: 1}
		var err error
		if share.size, err = parseSize(size); err != nil {
			return err
		}
		if weighted {
			if share.weight, err = strconv.ParseFloat(weight, 64); err != nil || !(share.weight > 0 && share.weight <= 1e9) {
				return fmt.Errorf("%q: %q is not a weight", text, weight)
			}
		}
		*m = append(*m, share)
	}
	return nil
}

// build renders the templates of the mix for a run.
func (m sizeMix) build(run string) *mix {
	var total, sum float64
	for _, share := range m {
		total += share.weight
	}
	built := &mix{}
	for _, share := range m {
		sum += share.weight / total
		built.templates = append(built.templates, newTemplate(run, share.size))
		built.upTo = append(built.upTo, sum)
	}
	return built
}

// parseSize reads a size in octets with an optional k or m (1024 and its square).
func parseSize(s string) (int, error) {
	digits, scale := s, 1
	switch {
	case strings.HasSuffix(s, "k"), strings.HasSuffix(s, "K"):
		digits, scale = s[:len(s)-1], 1<<10
	case strings.HasSuffix(s, "m"), strings.HasSuffix(s, "M"):
		digits, scale = s[:len(s)-1], 1<<20
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > maxSize/scale || n*scale < minSize {
		return 0, fmt.Errorf("%q is not a message size such as 10k (from %d octets to %dm)", s, minSize, maxSize>>20)
	}
	return n * scale, nil
}
