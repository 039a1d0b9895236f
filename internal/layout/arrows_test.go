package layout

import (
	"slices"
	"testing"
)

// mostAgainst bounds, in percent, the arrows of a package that lead against the
// direction of its files.
var mostAgainst = map[string]int{
	"codec":                           5,
	"oauth":                           9,
	"server":                          14,
	"internal/loop":                   24,
	"internal/sandbox/internal/smtpd": 20,
	"upstream":                        15,
	"internal/keyfile":                0,
	"internal/accountfile":            6,
	"internal/config":                 0,
	"internal/app":                    0,
}

func TestArrows(t *testing.T) {
	for pkg, bound := range mostAgainst {
		t.Run(pkg, func(t *testing.T) {
			a, err := ArrowsOf(module + pkg)
			if err != nil {
				t.Fatal(err)
			}
			all, against := a.Count()
			t.Logf("%d files, %d arrows, %d against the direction", len(a.Files), all, against)
			if all == 0 {
				t.Fatal("no arrow was found")
			}
			if 100*against > bound*all {
				t.Errorf("%d of %d arrows lead against the direction, more than %d %%:\n%v", against, all, bound, a.Against())
			}
		})
	}
}

func TestOrder(t *testing.T) {
	tests := []struct {
		name    string
		files   int
		uses    [][2]int // from, to
		against int
	}{
		{"none", 3, nil, 0},
		{"chain", 4, [][2]int{{0, 1}, {1, 2}, {2, 3}}, 0},
		{"chain the other way", 4, [][2]int{{3, 2}, {2, 1}, {1, 0}}, 0},
		{"one ring", 3, [][2]int{{0, 1}, {1, 2}, {2, 0}}, 1},
		{"both ways", 2, [][2]int{{0, 1}, {1, 0}}, 1},
		{"two rings on a leaf", 5, [][2]int{{0, 1}, {1, 0}, {2, 3}, {3, 2}, {0, 4}, {1, 4}, {2, 4}, {3, 4}}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			uses := make([][]bool, tt.files)
			for i := range uses {
				uses[i] = make([]bool, tt.files)
			}
			for _, u := range tt.uses {
				uses[u[0]][u[1]] = true
			}
			perm := order(uses)
			if sorted := slices.Sorted(slices.Values(perm)); len(sorted) != tt.files || slices.Compact(sorted)[len(sorted)-1] != tt.files-1 {
				t.Fatalf("order %v is no permutation", perm)
			}
			a := sorted(make([]string, tt.files), uses)
			if all, against := a.Count(); all != len(tt.uses) || against != tt.against {
				t.Errorf("%d arrows, %d against, want %d and %d", all, against, len(tt.uses), tt.against)
			}
		})
	}
}
