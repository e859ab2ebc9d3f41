package visitor

import (
	"strings"
	"sync"

	useragent "github.com/medama-io/go-useragent"
)

const (
	// maxAgents is how many agents each of the two generations of the cache
	// has at the most, and maxCached how many bytes of an agent and its hints
	// are worth keeping: 8 MiB in the worst case, and about one as a rule.
	maxAgents = 4096
	maxCached = 1 << 10
	// maxLooked is how much of a user agent is looked at. Those of people have
	// up to some 700 bytes.
	maxLooked = 768
)

// Agents tells what user agents are. It remembers those that it has seen
// lately, in memory only. It is safe for concurrent use.
type Agents struct {
	bots   *bots
	parser *useragent.Parser

	mu sync.RWMutex
	// young has the agents asked for since it was begun, and old those that
	// were in the young one before, of which what is asked for again gets into
	// the young one: so what is in use stays, and the rest is forgotten.
	// Protected by mu.
	young, old map[agentKey]Agent
}

type agentKey struct {
	userAgent string
	hints     Hints
}

// NewAgents makes Agents, which takes some milliseconds.
func NewAgents() *Agents {
	return &Agents{
		bots:   newBots(ownBots, listedBots),
		parser: useragent.NewParser(),
		young:  map[agentKey]Agent{},
	}
}

// Of tells what a user agent is. The strings may be of any length and contain
// anything.
func (a *Agents) Of(userAgent string, hints Hints) Agent {
	userAgent = userAgent[:min(len(userAgent), maxLooked)]
	key := agentKey{userAgent, hints}
	a.mu.RLock()
	agent, young := a.young[key]
	old := false
	if !young {
		agent, old = a.old[key]
	}
	a.mu.RUnlock()
	if young {
		return agent
	}
	if !old {
		agent = a.look(userAgent, hints)
	}
	if len(userAgent)+len(hints.Brands)+len(hints.Mobile)+len(hints.Platform) > maxCached {
		return agent
	}
	// What is kept must not hold on to the request that it came with.
	key = agentKey{strings.Clone(userAgent), Hints{strings.Clone(hints.Brands), strings.Clone(hints.Mobile), strings.Clone(hints.Platform)}}
	a.mu.Lock()
	if len(a.young) >= maxAgents {
		a.young, a.old = make(map[agentKey]Agent, maxAgents), a.young
	}
	a.young[key] = agent
	a.mu.Unlock()
	return agent
}

// look tells what a user agent is without the cache.
func (a *Agents) look(userAgent string, hints Hints) Agent {
	if strings.Contains(hints.Brands, "HeadlessChrome") {
		return Agent{Kind: Bot, Reason: Headless}
	}
	kind, known := a.bots.of(userAgent)
	switch {
	case known && kind != program:
		return Agent{Kind: Bot, Reason: kind}
	case known:
		return Agent{}
	case !claimsBrowser(userAgent):
		// A server may call itself as it likes: whatever its name is, what it
		// sends is not lost for that.
		return Agent{}
	case namesItselfBot(userAgent):
		return Agent{Kind: Bot, Reason: Crawler}
	}
	parsed := a.parser.Parse(userAgent)
	agent := Agent{
		Kind:    Person,
		Browser: browserOf(userAgent, hints, string(parsed.Browser())),
		OS:      osOf(userAgent, hints, string(parsed.OS())),
	}
	if agent.Browser == "" && agent.OS == "" && !isPhone(userAgent) {
		return Agent{} // "Mozilla/5.0" and the like
	}
	agent.Device = deviceOf(userAgent, hints, agent.OS)
	return agent
}
