package redisq

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/daybook-analytics/daybook/internal/queue/redisq/redistest"
)

// cluster starts a Redis Cluster of three servers and gives its URL.
func cluster(t *testing.T) (url string) {
	t.Helper()
	const slots = 16384
	var addrs []string
	var nodes []*redis.Client
	for range 3 {
		addrs = append(addrs, redistest.StartServer(t, "--cluster-enabled", "yes").Addr())
		node := redis.NewClient(&redis.Options{Addr: addrs[len(addrs)-1]})
		defer node.Close()
		nodes = append(nodes, node)
	}
	do := func(node *redis.Client, args ...any) {
		t.Helper()
		if err := node.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i, node := range nodes {
		do(node, "cluster", "set-config-epoch", i+1)
		do(node, "cluster", "addslotsrange", i*slots/3, (i+1)*slots/3-1)
		if i > 0 {
			host, port, _ := net.SplitHostPort(addrs[0])
			do(node, "cluster", "meet", host, port)
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		ready := 0
		for _, node := range nodes {
			info := node.ClusterInfo(t.Context()).Val()
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3") {
				ready++
			}
		}
		if ready == len(nodes) {
			return "redis://" + strings.Join(addrs, ",")
		}
		if time.Now().After(end) {
			t.Fatal("the Cluster does not come together")
		}
	}
}

func TestCluster(t *testing.T) {
	url := cluster(t)
	t.Run("conformance", func(t *testing.T) { conform(t, url) })
	t.Run("lost answer", func(t *testing.T) { lostAnswer(t, url) })
	t.Run("moving slot", func(t *testing.T) { movingSlot(t, url) })
}

// movingSlot checks that appends and reads follow a slot that is moved to
// another server.
func movingSlot(t *testing.T, url string) {
	ctx := t.Context()
	q := open(t, url, Options{})
	client := q.client.(*redis.ClusterClient)
	appendUntilConfirmed(t, q, "before")
	key := q.keys.stream("1:0")
	slot := client.ClusterKeySlot(ctx, key).Val()
	from, err := client.MasterForKey(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	var to *redis.Client
	for i := 0; to == nil || to.Options().Addr == from.Options().Addr; i++ {
		to, err = client.MasterForKey(ctx, strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
	}
	do := func(node *redis.Client, args ...any) string {
		t.Helper()
		answer, err := node.Do(ctx, args...).Text()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	fromID, toID := do(from, "cluster", "myid"), do(to, "cluster", "myid")
	do(to, "cluster", "setslot", slot, "importing", fromID)
	do(from, "cluster", "setslot", slot, "migrating", toID)
	host, port, _ := net.SplitHostPort(to.Options().Addr)
	// All keys of the slot, as redis-cli does: one of a test before this one may
	// have come to be in it.
	keys, err := from.ClusterGetKeysInSlot(ctx, int(slot), 1000).Result()
	if err != nil || !slices.Contains(keys, key) {
		t.Fatalf("the slot has the keys %q, %v, and not %s", keys, err, key)
	}
	for _, key := range keys {
		do(from, "migrate", host, port, key, 0, 5000)
	}
	appendUntilConfirmed(t, q, "under way")
	do(to, "cluster", "setslot", slot, "node", toID)
	do(from, "cluster", "setslot", slot, "node", toID)
	appendUntilConfirmed(t, q, "after")
	wantLines(t, q, []string{"before\n", "under way\n", "after\n"}, 0)
}
