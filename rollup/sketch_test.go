package rollup_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/daybook-analytics/daybook/rollup"
)

func sketchBytes(t testing.TB, s *rollup.Sketch) []byte {
	t.Helper()
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sketchSizes are numbers of users: small, around the switch from sparse to
// dense, which comes at about 7,000, and well beyond it.
var sketchSizes = []int{1, 2, 163, 164, 165, 1000, 5000, 6000, 6500, 7000, 7500, 8000, 9000, 20_000, 60_000}

// However a set of users is put together, its sketch has the same bytes.
func TestSketchIsCanonical(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range sketchSizes {
		users := make([]string, n)
		var want rollup.Sketch
		for i := range users {
			users[i] = fmt.Sprintf("user-%d", i)
			want.Insert(users[i])
		}
		wantBytes := sketchBytes(t, &want)

		ways := map[string]func() *rollup.Sketch{
			"another order, each user twice": func() *rollup.Sketch {
				var s rollup.Sketch
				for range 2 {
					for _, i := range rng.Perm(n) {
						s.Insert(users[i])
					}
				}
				return &s
			},
			"stored and loaded on the way": func() *rollup.Sketch {
				s := new(rollup.Sketch)
				for i, user := range users {
					s.Insert(user)
					if i%(n/7+1) == 0 {
						b := sketchBytes(t, s)
						s = new(rollup.Sketch)
						if err := s.UnmarshalBinary(b); err != nil {
							t.Fatal(err)
						}
					}
				}
				return s
			},
			"merged from overlapping parts": func() *rollup.Sketch {
				parts := make([]rollup.Sketch, 9)
				for _, user := range users {
					parts[rng.IntN(len(parts))].Insert(user)
					parts[rng.IntN(len(parts))].Insert(user)
				}
				var s rollup.Sketch
				for i := range parts {
					s.Merge(&parts[i])
				}
				return &s
			},
			"small merged into large and large into small": func() *rollup.Sketch {
				var small, large rollup.Sketch
				for i, user := range users {
					if i < n/10 {
						small.Insert(user)
					} else {
						large.Insert(user)
					}
				}
				var a rollup.Sketch
				a.Merge(&large)
				a.Merge(&small)
				small.Merge(&large)
				if !a.Equal(&small) {
					t.Errorf("%d users: merging is not symmetric", n)
				}
				return &small
			},
		}
		for name, way := range ways {
			s := way()
			if !bytes.Equal(sketchBytes(t, s), wantBytes) {
				t.Errorf("%d users, %s: another sketch than when inserted in order", n, name)
			}
			if !s.Equal(&want) || s.Estimate() != want.Estimate() {
				t.Errorf("%d users, %s: estimate %d, want %d", n, name, s.Estimate(), want.Estimate())
			}
		}
	}
}

func TestSketchEstimatesWithinThreeStandardErrors(t *testing.T) {
	const sites = 5 // different users each, so that no lucky set passes alone
	for site := range sites {
		var s rollup.Sketch
		n := 0
		for _, size := range append(sketchSizes, 100_000, 300_000) {
			for ; n < size; n++ {
				s.Insert(fmt.Sprintf("%d/%d", site, n))
			}
			got := float64(s.Estimate())
			most := 3 * rollup.SketchError * float64(n)
			if n <= 5000 {
				most = 1 // as good as exact while sparse
			}
			if math.Abs(got-float64(n)) > most {
				t.Errorf("site %d: estimate of %d users is %.0f, more than %.0f off", site, n, got, most)
			}
		}
	}
}

func TestSketchOfNobody(t *testing.T) {
	var s, other rollup.Sketch
	s.Insert("")
	s.Merge(&other)
	if b := sketchBytes(t, &s); len(b) != 0 || s.Estimate() != 0 || !s.Equal(&other) {
		t.Fatalf("sketch of nobody has %d bytes and estimate %d", len(b), s.Estimate())
	}
	other.Insert("a")
	if s.Equal(&other) {
		t.Fatal("a sketch with a user equals one without")
	}
	if err := other.UnmarshalBinary(nil); err != nil || other.Estimate() != 0 {
		t.Fatalf("no bytes read as estimate %d, error %v", other.Estimate(), err)
	}
}

// Merging sketches of other precisions would panic; none may come in.
func TestSketchRefusesOtherPrecisions(t *testing.T) {
	var s rollup.Sketch
	s.Insert("a")
	b := sketchBytes(t, &s)
	for precision := range 256 {
		b[1] = byte(precision)
		if err := new(rollup.Sketch).UnmarshalBinary(b); (err == nil) != (precision == 14) {
			t.Errorf("precision %d: error %v", precision, err)
		}
	}
	if new(rollup.Sketch).UnmarshalBinary(b[:1]) == nil {
		t.Error("a sketch of one byte was read")
	}
}
