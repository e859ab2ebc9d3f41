package site

import "testing"

func TestBotPoliciesByTheirNames(t *testing.T) {
	for name, want := range map[string]BotPolicy{"filter": FilterBots, "keep": KeepBots} {
		if got, err := ParseBots(name); err != nil || got != want || got.Name() != name {
			t.Errorf("%s: %q, %v, shown as %s", name, got, err, got.Name())
		}
	}
	for _, name := range []string{"", "Keep", "drop"} {
		if _, err := ParseBots(name); err == nil {
			t.Errorf("there is a policy %q", name)
		}
	}
}
