package redisq

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// defaultPort is the port of an address that has none.
const defaultPort = "6379"

// parseURL reads the URL that Open is given.
func parseURL(rawURL string) (*redis.UniversalOptions, error) {
	opts, err := parse(rawURL)
	if err != nil {
		// The URL itself may hold a password, so it is not in the error.
		return nil, fmt.Errorf("redis URL: %w; it is of the form "+
			"redis://[user:password@]host:port[,host:port...][/db][?cluster=true|?master=NAME]", err)
	}
	return opts, nil
}

func parse(rawURL string) (*redis.UniversalOptions, error) {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	if scheme != "redis" && scheme != "rediss" {
		return nil, errors.New("it does not begin with redis:// or rediss://")
	}
	// net/url does not know lists of hosts, so it is given one in their place.
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	userinfo, list := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		userinfo, list = authority[:i+1], authority[i+1:]
	}
	opts := &redis.UniversalOptions{}
	for host := range strings.SplitSeq(list, ",") {
		addr, err := address(host)
		if err != nil {
			return nil, err
		}
		opts.Addrs = append(opts.Addrs, addr)
	}
	u, err := url.Parse("redis://" + userinfo + "host" + tail)
	if err != nil {
		return nil, errors.New("user, password or what follows the hosts is malformed; special characters there are written as %XX")
	}
	opts.Username = u.User.Username()
	opts.Password, _ = u.User.Password()
	if scheme == "rediss" {
		opts.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if opts.DB, err = strconv.Atoi(db); err != nil || opts.DB < 0 {
			return nil, fmt.Errorf("database %q is not a number", db)
		}
	}
	opts.IsClusterMode = len(opts.Addrs) > 1
	for key, values := range u.Query() {
		switch value := values[0]; {
		case key == "cluster" && value == "true":
			opts.IsClusterMode = true
		case key == "master" && value != "":
			opts.MasterName = value
		default:
			return nil, fmt.Errorf("option %s=%s is unknown", key, value)
		}
	}
	switch {
	case opts.MasterName != "":
		if u.Query().Has("cluster") {
			return nil, errors.New("cluster and master exclude each other")
		}
		opts.IsClusterMode = false
	case opts.IsClusterMode && opts.DB != 0:
		return nil, fmt.Errorf("a Cluster has no database %d", opts.DB)
	}
	return opts, nil
}

// address gives host:port of what may lack its port.
func address(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port, err = net.SplitHostPort(s + ":" + defaultPort)
	}
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || host == "" {
		return "", fmt.Errorf("%q is not host:port", s)
	}
	return net.JoinHostPort(host, port), nil
}
