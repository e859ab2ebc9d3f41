package redisq

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for url, want := range map[string]string{
		"redis://localhost":                            "[localhost:6379] db=0",
		"redis://127.0.0.1:7000/3":                     "[127.0.0.1:7000] db=3",
		"redis://[::1]:7000/":                          "[[::1]:7000] db=0",
		"redis://[::1]":                                "[[::1]:6379] db=0",
		"redis://:secret@a":                            "[a:6379] password=secret db=0",
		"redis://me:p%40ss%2Fw@a:1/2":                  "[a:1] user=me password=p@ss/w db=2",
		"rediss://me:x@a:1":                            "[a:1] user=me password=x tls db=0",
		"redis://a:1,b:2,c":                            "[a:1 b:2 c:6379] db=0 cluster",
		"rediss://me:x@a:1,[::1]:2":                    "[a:1 [::1]:2] user=me password=x tls db=0 cluster",
		"redis://a:1?cluster=true":                     "[a:1] db=0 cluster",
		"redis://:x@a:26379,b:26379/1?master=mymaster": "[a:26379 b:26379] password=x db=1 master=mymaster",
		"redis://a:26379/?master=mymaster":             "[a:26379] db=0 master=mymaster",
		"localhost:6379":                               "error: it does not begin with redis://",
		"":                                             "error: it does not begin with redis://",
		"http://a":                                     "error: it does not begin with redis://",
		"redis://":                                     `error: "" is not host:port`,
		"redis://a:1,":                                 `error: "" is not host:port`,
		"redis://a:b":                                  `error: "a:b" is not host:port`,
		"redis://a:1:2":                                `error: "a:1:2" is not host:port`,
		"redis://::1":                                  `error: "::1" is not host:port`,
		"redis://a/x":                                  `error: database "x" is not a number`,
		"redis://a/-1":                                 `error: database "-1" is not a number`,
		"redis://a:1,b:2/1":                            "error: a Cluster has no database 1",
		"redis://a?cluster=yes":                        "error: option cluster=yes is unknown",
		"redis://a?master=":                            "error: option master= is unknown",
		"redis://a?db=1":                               "error: option db=1 is unknown",
		"redis://a?master=m&cluster=true":              "error: cluster and master exclude each other",
		"redis://me:100%@a":                            "error: user, password or what follows",
	} {
		opts, err := parseURL(url)
		var got string
		if err != nil {
			got = "error: " + strings.TrimPrefix(err.Error(), "redis URL: ")
			if !strings.HasPrefix(got, want) || !strings.Contains(got, "it is of the form redis://") {
				t.Errorf("%s: %s, want %s", url, got, want)
			}
			continue
		}
		got = fmt.Sprint(opts.Addrs)
		for _, field := range []struct{ name, value string }{{"user", opts.Username}, {"password", opts.Password}} {
			if field.value != "" {
				got += fmt.Sprintf(" %s=%s", field.name, field.value)
			}
		}
		if opts.TLSConfig != nil {
			got += " tls"
		}
		got += fmt.Sprintf(" db=%d", opts.DB)
		if opts.IsClusterMode {
			got += " cluster"
		}
		if opts.MasterName != "" {
			got += " master=" + opts.MasterName
		}
		if got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

// A password must not get into a log.
func TestURLErrorHidesThePassword(t *testing.T) {
	for _, url := range []string{"redis://me:secret@a:b", "redis://me:secret@a?x=y", "redi://me:secret@a", "redis://me:secret%@a"} {
		if _, err := parseURL(url); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v", err)
		}
	}
}
