package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// network is what lies between the roles and one server.
type network struct {
	t     *testing.T
	name  string
	proxy *toxiproxy.Proxy
}

// newNetwork begins a network to the server of a URL, and puts its own address
// there.
func newNetwork(t *testing.T, name string, serverURL *string) *network {
	t.Helper()
	u, err := url.Parse(*serverURL)
	if err != nil {
		t.Fatal(err)
	}
	zerolog.SetGlobalLevel(zerolog.Disabled)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	for range 100 {
		// The port must still be free after a cut. One beyond 32767 the system
		// may have given to a connection by then.
		addr := fmt.Sprintf("127.0.0.1:%d", 15_000+rand.IntN(5_000))
		n := &network{t, name, toxiproxy.NewProxy(server, name, addr, u.Host)}
		if err = n.proxy.Start(); err == nil {
			t.Cleanup(n.proxy.Stop)
			u.Host = addr
			*serverURL = u.String()
			return n
		}
	}
	t.Fatal(err)
	return nil
}

// toxic is a fault of toxiproxy.
type toxic struct {
	Type       string           `json:"type"`
	Stream     string           `json:"stream"`
	Attributes map[string]int64 `json:"attributes"`
}

// The directions are those of toxiproxy.
const (
	requests = "upstream"
	replies  = "downstream"
)

// faults are the ways in which a network fails. The one without toxics is a
// cut: connections end, and new ones are refused.
var faults = []struct {
	name   string
	toxics func(*rand.Rand) []toxic
}{
	{"cut", nil},
	// Every connection ends some bytes into the replies that it gets, so that
	// what was asked is done and nobody knows.
	{"end in a reply", func(rng *rand.Rand) []toxic {
		return []toxic{{"limit_data", replies, map[string]int64{"bytes": rng.Int64N(500)}}}
	}},
	{"reset instead of a reply", func(rng *rand.Rand) []toxic {
		return []toxic{{"reset_peer", replies, map[string]int64{"timeout": rng.Int64N(50)}}}
	}},
	{"no requests", func(*rand.Rand) []toxic {
		return []toxic{{"timeout", requests, map[string]int64{"timeout": 0}}}
	}},
	{"no replies", func(*rand.Rand) []toxic {
		return []toxic{{"timeout", replies, map[string]int64{"timeout": 0}}}
	}},
	{"late", func(rng *rand.Rand) []toxic {
		late := map[string]int64{"latency": 50 + rng.Int64N(800), "jitter": 50}
		return []toxic{{"latency", requests, late}, {"latency", replies, late}}
	}},
	{"narrow", func(rng *rand.Rand) []toxic {
		rate := map[string]int64{"rate": 2 + rng.Int64N(20)} // KB/s
		return []toxic{{"bandwidth", requests, rate}, {"bandwidth", replies, rate}}
	}},
}

// fail makes the network fail in each way, in an order of chance and with
// pauses, as many rounds as are asked for. At the end it is whole.
func (n *network) fail(rng *rand.Rand) {
	for range *rounds {
		for _, i := range rng.Perm(len(faults)) {
			n.failOnce(i, time.Duration(50+rng.IntN(1200))*time.Millisecond, rng)
			time.Sleep(time.Duration(50+rng.IntN(400)) * time.Millisecond)
		}
	}
}

// failOnce makes the network fail in one way, and makes it whole again.
func (n *network) failOnce(i int, duration time.Duration, rng *rand.Rand) {
	if faults[i].toxics == nil {
		n.proxy.Stop()
		time.Sleep(duration)
		if err := n.proxy.Start(); err != nil {
			n.t.Errorf("%s cannot be reached again: %v", n.name, err)
		}
		return
	}
	for _, toxic := range faults[i].toxics(rng) {
		text, err := json.Marshal(toxic)
		if err == nil {
			_, err = n.proxy.Toxics.AddToxicJson(strings.NewReader(string(text)))
		}
		if err != nil {
			n.t.Errorf("%s: %v", faults[i].name, err)
		}
	}
	time.Sleep(duration)
	n.proxy.Toxics.ResetToxics(context.Background())
}
