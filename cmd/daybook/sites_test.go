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
	want(t, dir, "sites list", "SITE +ADDED +TIME ZONE +CHANGING TO +ORIGINS +BOTS +KEEPS\nsite-abc +no +UTC +all +filter +by default\n")
	want(t, dir, "sites show site-abc", `site: +site-abc
added: +no
time zone: +UTC
raw events: +kept by default, dated in UTC
origins: +all
bots: +filter
data centres: +as others
paths: +as they are
`)
	wantChange(t, dir, "site-abc --timezone America/New_York", "site-abc is in America/New_York now: 2 days built of 6 raw events in .* s, 2 months\n")
	want(t, dir, "sites set site-abc --timezone America/New_York", "site-abc is in America/New_York already\n")
	// At midnight in UTC it is the evening before, of another month.
	want(t, dir, "verify --site site-abc", "2 days with 6 raw events in .* s: 0 not right.*\n")
	want(t, dir, "sites show site-abc", "site: .*\nadded: .*\ntime zone: +America/New_York\nraw events: .*dated in UTC, America/New_York\n(.*\n){4}")
	wantChange(t, dir, "new --timezone Asia/Kolkata --json", `\{"id":.*"kind":"timezone".*"state":"done".*\}`+"\n")
	want(t, dir, "jobs list", "JOB .*\n.*timezone.* done .*\n.*timezone.* done .*\n")
	stop()

	wantChange(t, dir, "site-abc --timezone UTC", "site-abc is in UTC now: 2 days built of 6 raw events .*\n")
	want(t, dir, "sites list --json", `\{"site":"new","added":false,"timezone":"Asia/Kolkata","dated_in":\["UTC","Asia/Kolkata"\],.*\}`+"\n"+
		`\{"site":"site-abc","added":false,"timezone":"UTC","dated_in":\["UTC","America/New_York"\],.*\}`+"\n")
}

// TestSiteSettings adds, sets and removes sites, with a server and without.
func TestSiteSettings(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir)()
	run := func(t *testing.T) {
		want(t, dir, "sites add shop --origins https://shop.example,https://*.shop.example --strip-slash --paths /user/*,/a/**", `site: +shop
added: +yes
time zone: +UTC
raw events: +kept by default, dated in UTC
origins: +https://shop\.example, https://\*\.shop\.example
bots: +filter
data centres: +as others
paths: +without / at the end, /user/\*, /a/\*\*
`)
		wantFailure(t, exitFailed, "site shop was added already", "sites", "add", "shop", "--data", dir)
		want(t, dir, "sites list", "SITE .*\n(blog .*\n)?shop +yes +UTC +https://shop.example, .*\n")
		// What is not given stays.
		want(t, dir, "sites set shop --bots keep --datacenters --lower-case --keep-raw-days 30", `(.*\n){3}raw events: +kept 30 days, .*
origins: +https://shop.*
bots: +keep
data centres: +are bots
paths: +without / at the end, in lower case, /user/\*, /a/\*\*
`)
		want(t, dir, "sites set shop --keep-raw-days 0 --no-strip-slash --json", `{"site":"shop","added":true,.*"keep_raw_days":0,"bots":"keep","datacenters":true,"strip_slash":false,"lower_case":true,.*}`+"\n")
		want(t, dir, "sites set shop --keep-raw-days default --no-datacenters --origins= --paths=", `(.*\n){3}raw events: +kept by default, .*
origins: +all
bots: +keep
data centres: +as others
paths: +in lower case
`)
		wantFailure(t, exitFailed, "pattern \"/User/*\" has capital letters", "sites", "set", "shop", "--paths", "/User/*", "--data", dir)
		wantFailure(t, exitFailed, "`daybook sites add blog` adds it", "sites", "set", "blog", "--bots", "keep", "--data", dir)

		code, stdout, stderr := command("sites", "add", "blog", "--timezone", "Asia/Kolkata", "--bots", "keep", "--data", dir)
		if code != 0 || !strings.HasPrefix(stderr, "job ") || !regexp.MustCompile(`^(.*\n){8}blog is in Asia/Kolkata now: .*\n$`).MatchString(stdout) {
			t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
		}
		wantChange(t, dir, "blog --timezone UTC --bots filter", `(.*\n){2}time zone: +Asia/Kolkata\n(.*\n){2}bots: +filter\n(.*\n){2}blog is in UTC now: .*\n`)

		want(t, dir, "sites remove shop", "shop is removed; keys revoked: 0\n")
		wantFailure(t, exitFailed, "site shop was not added", "sites", "remove", "shop", "--data", dir)
		wantFailure(t, exitFailed, "site shop was not added", "sites", "show", "shop", "--data", dir)
		want(t, dir, "sites remove blog", "blog is removed; .*\n")
	}
	t.Run("Stopped", run)
	stop := serve(t, dir)
	t.Run("Running", run)
	stop()
}

// TestSiteWithData removes a site that has events.
func TestSiteWithData(t *testing.T) {
	dir := t.TempDir()
	putEvents(t, dir, "2026-03-01")
	stop := serve(t, dir)
	drained(t, dir)
	stop()
	want(t, dir, "sites set site-abc --bots keep", "(.*\n){5}bots: +keep\n(.*\n){2}")
	want(t, dir, "sites remove site-abc", "site-abc is removed; keys revoked: 0\nits events and rollups are kept: `daybook erase --site site-abc` erases them\n")
	want(t, dir, "sites show site-abc", "(.*\n){5}bots: +filter\n(.*\n){2}")
	want(t, dir, "verify --site site-abc", "1 days with 3 raw events .*\n")
}

func TestSitesMistakes(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir)()
	for args, message := range map[string]string{
		"sites set shop":                           "there is nothing to set: give --timezone",
		"sites set shop --origins shop.example":    `origin "shop.example" does not begin with https://`,
		"sites add shop --keep-raw-days=-1":        "--keep-raw-days -1: allowed are",
		"sites add shop --keep-raw-days ever":      "--keep-raw-days ever: allowed are",
		"sites add shop --keep-raw-days 100001":    "kept for 100001 days",
		"sites add shop --bots drop":               `no policy "drop"`,
		"sites add shop --paths user/*":            `pattern "user/*" does not begin with /`,
		"sites add":                                "<site>",
		"sites remove":                             "<site>",
		"sites set --timezone UTC":                 "<site>",
		"sites set shop --timezone=":               "a time zone is needed",
		"sites set shop --timezone Europe/Berln":   `there is no time zone "Europe/Berln"`,
		"sites set shop --timezone UTC --redis no": "--redis",
	} {
		wantFailure(t, exitUsage, message, strings.Fields(args)...)
	}
	wantFailure(t, exitFailed, `there can be no site "a|b"`, "sites", "show", "a|b", "--data", dir)
	wantFailure(t, exitFailed, `there can be no site "a|b"`, "sites", "set", "a|b", "--timezone", "UTC", "--data", dir)
	wantFailure(t, exitFailed, `there can be no site "a|b"`, "sites", "add", "a|b", "--data", dir)

	// What is set for other commands sets nothing of a site.
	t.Setenv("DAYBOOK_KEEP_RAW_DAYS", "1")
	wantFailure(t, exitUsage, "there is nothing to set", "sites", "set", "shop")
}
