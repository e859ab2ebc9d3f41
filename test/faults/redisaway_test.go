package faults

import (
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/config"
	"github.com/daybook-analytics/daybook/internal/queue/redisq/redistest"
)

// TestRedisAway takes Redis away, killed or standing still, and brings it
// back, while requests keep coming at the same rate whatever becomes of them.
// Nothing else is restarted.
func TestRedisAway(t *testing.T) {
	for name, c := range map[string]struct{ leave, comeBack func(*redistest.Server) }{
		"killed":         {(*redistest.Server).Kill, (*redistest.Server).Start},
		"standing still": {(*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.StartServer(t)
			queue := config.Queue{Redis: server.URL(), RedisPrefix: redistest.Prefix(), Streams: 2}
			load := newLoad(t, startRoles(t, queue, config.Store{}, config.Ingest{}))

			if refused := load.sendAtRate("before", *rate, time.Second); len(refused) > 0 {
				t.Errorf("%d of the events were refused before Redis was away", len(refused))
			}
			c.leave(server)
			refused := load.sendAtRate("away", *rate, *outage)
			if len(refused) == 0 {
				t.Error("every event was taken: Redis was not away")
			}
			c.comeBack(server)
			load.sendUntilTaken(refused[:1])
			refused = append(refused[1:], load.sendAtRate("back", *rate, time.Second)...)
			for _, e := range refused {
				load.sendUntilTaken([]event{e})
			}
			load.check()
		})
	}
}
