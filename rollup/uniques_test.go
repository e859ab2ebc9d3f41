package rollup_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/axiomhq/hyperloglog"
	"pgregory.net/rapid"

	"github.com/daybook-analytics/daybook/rollup"
)

// What is inserted by hash and by name into the large sketch is the same, so
// that an event's user needs to be hashed only once.
func TestHashUserIsTheHashOfTheSketch(t *testing.T) {
	byName, byHash := hyperloglog.New(), hyperloglog.New()
	for i := range 20_000 {
		user := fmt.Sprintf("user-%d-%0*d", i, i%80, i)
		byName.Insert([]byte(user))
		byHash.InsertHash(rollup.HashUser(user))
	}
	a, errA := byName.MarshalBinary()
	b, errB := byHash.MarshalBinary()
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Fatalf("the sketches differ; errors %v, %v", errA, errB)
	}
}

func uniquesBytes(t testing.TB, u *rollup.Uniques) []byte {
	t.Helper()
	b, err := u.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// However a set is put together it is the same, to the byte.
func TestUniquesAreCanonical(t *testing.T) {
	for _, precision := range []uint8{4, rollup.KeyPrecision, rollup.HourPrecision, 16} {
		most := 1 << precision * 5 / 8 / 4 // that are a list
		rng := rand.New(rand.NewPCG(1, uint64(precision)))
		for _, n := range []int{0, 1, 2, most - 1, most, most + 1, most + 2, 3 * most, 20 * most} {
			hashes := make([]uint64, n)
			want := rollup.NewUniques(precision)
			for i := range hashes {
				hashes[i] = rng.Uint64()
				want.Insert(hashes[i])
			}
			if want.Exact() != (n <= most) {
				t.Fatalf("precision %d: exact is %t with %d users", precision, want.Exact(), n)
			}
			// In another order, twice, in parts that overlap, stored on the way.
			parts := make([]*rollup.Uniques, 5)
			for i := range parts {
				parts[i] = rollup.NewUniques(precision)
			}
			for range 2 {
				for _, i := range rng.Perm(n) {
					parts[rng.IntN(len(parts))].Insert(hashes[i])
				}
			}
			got := new(rollup.Uniques)
			for _, part := range parts {
				before := uniquesBytes(t, part)
				got.Merge(part)
				if !bytes.Equal(uniquesBytes(t, part), before) {
					t.Fatal("Merge changed its argument")
				}
				b := uniquesBytes(t, got)
				got = new(rollup.Uniques)
				if err := got.UnmarshalBinary(b); err != nil {
					t.Fatal(err)
				}
			}
			if !got.Equal(want) || !bytes.Equal(uniquesBytes(t, got), uniquesBytes(t, want)) || got.Estimate() != want.Estimate() {
				t.Errorf("precision %d, %d users: estimate %d, want %d, or other bytes", precision, n, got.Estimate(), want.Estimate())
			}
		}
	}
}

func TestUniquesEstimates(t *testing.T) {
	for _, precision := range []uint8{rollup.KeyPrecision, rollup.HourPrecision} {
		sigma := rollup.UniquesError(precision)
		const sets = 200
		for _, n := range []int{1, 20, 41, 60, 100, 161, 300, 600, 1000, 3000, 10_000, 100_000} {
			rng := rand.New(rand.NewPCG(uint64(n), uint64(precision)))
			var sum, squares float64
			worst := 0.0
			for range sets {
				u := rollup.NewUniques(precision)
				for range n {
					u.Insert(rng.Uint64())
				}
				off := float64(u.Estimate())/float64(n) - 1
				if u.Exact() && (off != 0 || u.Error() != 0) {
					t.Fatalf("an exact set of %d users has estimate %d, error %v", n, u.Estimate(), u.Error())
				}
				if !u.Exact() && u.Error() != sigma {
					t.Fatalf("error is %v, want %v", u.Error(), sigma)
				}
				sum += off
				squares += off * off
				worst = max(worst, math.Abs(off))
			}
			// The mean of 200 is 14 times as sharp as one of them, and what it
			// varies by is known to 5 %.
			if mean := sum / sets; math.Abs(mean) > 4*sigma/math.Sqrt(sets) {
				t.Errorf("precision %d, %d users: the estimates are off by %.2f %% in the mean", precision, n, 100*mean)
			}
			if got := math.Sqrt(squares / sets); got > 1.2*sigma {
				t.Errorf("precision %d, %d users: the standard error is %.1f %%, want %.1f %%", precision, n, 100*got, 100*sigma)
			}
			if worst > 5*sigma {
				t.Errorf("precision %d, %d users: an estimate is %.1f %% off", precision, n, 100*worst)
			}
		}
	}
}

func TestUniquesRefuseWhatDoesNotBelong(t *testing.T) {
	key, hour := rollup.NewUniques(rollup.KeyPrecision), rollup.NewUniques(rollup.HourPrecision)
	key.Insert(1 << 40)
	if err := hour.UnmarshalBinary(uniquesBytes(t, key)); err == nil {
		t.Error("a set of an hour reads one of a key")
	}
	if _, err := new(rollup.Uniques).AppendBinary(nil); err == nil {
		t.Error("a set without a precision is encoded")
	}
	if err := new(rollup.Uniques).UnmarshalBinary(nil); err == nil {
		t.Error("no bytes are read as a set")
	}
	defer func() {
		if recover() == nil {
			t.Error("sets of different precisions are merged")
		}
	}()
	key.Merge(hour)
}

// What can be read gives the same bytes again, and can be used.
func FuzzUniques(f *testing.F) {
	for _, n := range []int{0, 1, 40, 41} {
		u := rollup.NewUniques(rollup.KeyPrecision)
		for i := range n {
			u.Insert(rollup.HashUser(fmt.Sprint(i)))
		}
		f.Add(uniquesBytes(f, u))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var u rollup.Uniques
		if u.UnmarshalBinary(b) != nil {
			return
		}
		if got := uniquesBytes(t, &u); !bytes.Equal(got, b) {
			t.Fatalf("%x is read and written as %x", b, got)
		}
		u.Insert(rollup.HashUser("u"))
		if u.Estimate() == 0 {
			t.Fatal("a set with a user is estimated at none")
		}
	})
}

// tracked is a Table with the true users of each key beside it.
type tracked struct {
	table rollup.Table
	users map[string]map[int]bool
}

func newTracked() *tracked { return &tracked{users: map[string]map[int]bool{}} }

func (k *tracked) add(key string, user int) {
	k.table.AddUser(key, rollup.HashUser(fmt.Sprint("user ", user)))
	if k.users[key] == nil {
		k.users[key] = map[int]bool{}
	}
	k.users[key][user] = true
}

func (k *tracked) merge(other *tracked) {
	k.table.Merge(&other.table)
	for key, users := range other.users {
		if k.users[key] == nil {
			k.users[key] = map[int]bool{}
		}
		for user := range users {
			k.users[key][user] = true
		}
	}
}

// check proves what Count says of Users and Missed.
func (k *tracked) check(t rapid.TB) {
	t.Helper()
	for _, row := range k.table.Rows() {
		if row.Users == nil {
			if row.Missed != 0 {
				t.Fatalf("%+v has no users and misses some", row)
			}
			continue
		}
		estimate, sigma := float64(row.Users.Estimate()), row.Users.Error()
		truth := float64(len(k.users[row.Key]))
		if slack := 4 * sigma * estimate; truth < estimate-slack || truth > estimate+slack+float64(row.Missed) {
			t.Fatalf("%q has %v users, its row says %v and up to %d more; standard error %.3f", row.Key, truth, estimate, row.Missed, sigma)
		}
	}
}

// trackedOps draws a table that any sequence of operations has made.
func trackedOps(t *rapid.T, depth int) *tracked {
	k := newTracked()
	for range rapid.IntRange(0, 40).Draw(t, "operations") {
		switch op := rapid.IntRange(0, 12).Draw(t, "operation"); {
		case op == 0:
			k.table.Compact(rapid.IntRange(1, 8).Draw(t, "keys"))
		case op == 1 && depth > 0:
			k.merge(trackedOps(t, depth-1))
		case op == 2: // an event of nobody known
			k.table.Add(fmt.Sprint("k", rapid.IntRange(0, 15).Draw(t, "key")), 3)
		default:
			k.add(fmt.Sprint("k", rapid.IntRange(0, 15).Draw(t, "key")), rapid.IntRange(0, 60).Draw(t, "user"))
		}
		k.check(t)
	}
	return k
}

func TestUsersOfKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { trackedOps(t, 2) })
}

// crowded is a table of so many keys with so many users each, the first with
// the most.
func crowded(keys, users int) *tracked {
	k := newTracked()
	for key := range keys {
		for i := range users {
			k.add(fmt.Sprintf("k%04d", key), key*7+i)
		}
		k.table.Add(fmt.Sprintf("k%04d", key), uint64(keys-key))
	}
	return k
}

// Compact drops the users of rows beyond the 200th when there is no room, and
// a merge says how many may be missing.
func TestCompactDropsUsersOfRareKeys(t *testing.T) {
	small := crowded(1000, 3) // 13 bytes each
	small.table.Compact(1000)
	for _, row := range small.table.Rows() {
		if row.Users == nil {
			t.Fatalf("%s lost its users, although there is room", row.Key)
		}
	}
	large := crowded(1000, 60) // 161 bytes each
	large.table.Compact(1000)
	large.check(t)
	for i, row := range large.table.Rows() {
		if known := row.Users != nil; known != (i < 203) { // 32 KiB / 161
			t.Fatalf("row %d knows its users: %t", i, known)
		}
	}
	if !small.table.UsersExact() || !large.table.UsersExact() {
		t.Error("the users of the first 200 rows are not exact")
	}

	sum := newTracked()
	sum.merge(large)
	sum.merge(small)
	sum.check(t)
	for _, row := range sum.table.Rows() {
		want := uint64(0)
		if large.table.Bounds(row.Key).Hi <= 1000-203+60 {
			want = large.table.Bounds(row.Key).Hi
		}
		if row.Users == nil || row.Missed != want {
			t.Fatalf("%s misses %d, want %d", row.Key, row.Missed, want)
		}
	}
	// The first 200 rows of the sum are those that were known in both.
	if !sum.table.UsersExact() {
		t.Error("the users of the first 200 rows of the sum are not exact")
	}
	large.table.Add("k0999", 10_000)
	if large.table.UsersExact() {
		t.Error("a first row has lost its users, and UsersExact does not say so")
	}
}

// A key that comes when others were dropped may have had users before.
func TestUsersMissedBelowTheFloor(t *testing.T) {
	k := crowded(10, 2)
	k.table.Compact(5)
	floor := k.table.Floor()
	k.add("new", 1)
	row := k.table.Rows()[5]
	if row.Key != "new" || floor == 0 || row.Missed != floor || row.Users.Estimate() != 1 || k.table.UsersExact() {
		t.Fatalf("row is %+v with floor %d", row, floor)
	}
}
