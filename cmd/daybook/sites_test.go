package main

import (
	"regexp"
	"strings"
	"testing"
)

// wantChange changes the time zone of a site and wants an output that matches.
func wantChange(t *testing.T, dir, args, pattern string) {
	t.Helper()
	code, stdout, stderr := command(append([]string{"sites", "set", "--data", dir}, strings.Fields(args)...)...)
	if code != 0 || !strings.HasPrefix(stderr, "job ") || !regexp.MustCompile("^"+pattern+"$").MatchString(stdout) {
		t.Errorf("daybook sites set %s: exit code %d\n%s%swant %s", args, code, stdout, stderr, pattern)
	}
}

// TestSites lists sites and changes a time zone, with a server and without.
func TestSites(t *testing.T) {
	dir := t.TempDir()
	putEvents(t, dir, "2026-03-01", "2026-03-02")
	stop := serve(t, dir)
	drained(t, dir)
	want(t, dir, "sites list", "SITE +TIME ZONE +CHANGING TO\nsite-abc +UTC *\n")
	want(t, dir, "sites show site-abc", "site: +site-abc\ntime zone: +UTC\nraw events: dated in UTC\n")
	wantChange(t, dir, "site-abc --timezone America/New_York", "site-abc is in America/New_York now: 2 days built of 6 raw events in .* s, 2 months\n")
	want(t, dir, "sites set site-abc --timezone America/New_York", "site-abc is in America/New_York already\n")
	// At midnight in UTC it is the evening before, of another month.
	want(t, dir, "verify --site site-abc", "2 days with 6 raw events in .* s: 0 not right.*\n")
	want(t, dir, "sites show site-abc", "site: .*\ntime zone: +America/New_York\nraw events: dated in UTC, America/New_York\n")
	wantChange(t, dir, "new --timezone Asia/Kolkata --json", `\{"id":.*"kind":"timezone".*"state":"done".*\}`+"\n")
	want(t, dir, "jobs list", "JOB .*\n.*timezone.* done .*\n.*timezone.* done .*\n")
	stop()

	wantChange(t, dir, "site-abc --timezone UTC", "site-abc is in UTC now: 2 days built of 6 raw events .*\n")
	want(t, dir, "sites list --json", `\{"site":"new","timezone":"Asia/Kolkata","dated_in":\["UTC","Asia/Kolkata"\]\}`+"\n"+
		`\{"site":"site-abc","timezone":"UTC","dated_in":\["UTC","America/New_York"\]\}`+"\n")
}

func TestSitesMistakes(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir)()
	for args, message := range map[string]string{
		"sites set shop":                           "--timezone",
		"sites set --timezone UTC":                 "<site>",
		"sites set shop --timezone=":               "a time zone is needed",
		"sites set shop --timezone Europe/Berln":   `there is no time zone "Europe/Berln"`,
		"sites set shop --timezone UTC --redis no": "--redis",
	} {
		wantFailure(t, exitUsage, message, strings.Fields(args)...)
	}
	wantFailure(t, exitFailed, `there can be no site "a|b"`, "sites", "show", "a|b", "--data", dir)
	wantFailure(t, exitFailed, `there can be no site "a|b"`, "sites", "set", "a|b", "--timezone", "UTC", "--data", dir)
}
