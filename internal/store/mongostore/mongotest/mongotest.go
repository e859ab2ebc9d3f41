// Package mongotest gives tests a MongoDB: the server that
// DAYBOOK_TEST_MONGODB_URI names, or FerretDB from test/ferretdb, which it
// builds and starts once per test binary.
package mongotest

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

// URIVariable names the environment variable with the URI of a server to
// test on.
const URIVariable = "DAYBOOK_TEST_MONGODB_URI"

// Start gives the URI of an empty database of the test's own, which is
// dropped when the test ends. Where no server can be had the test is skipped,
// but in CI (the environment variable CI is "true") it fails.
func Start(t testing.TB) (uri string) {
	t.Helper()
	server, err := startOnce()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no MongoDB: %v", err)
		}
		t.Skipf("no MongoDB: %v; set %s to the URI of one", err, URIVariable)
	}
	name := "daybook_test_" + strings.ToLower(rand.Text())
	client := connect(t, server)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := client.Database(name).Drop(ctx); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
		if err := client.Disconnect(ctx); err != nil {
			t.Error(err)
		}
	})
	uri, err = withDatabase(server, name)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// Dump gives all documents of the database of a URI, as BSON, one behind the
// other.
func Dump(t testing.TB, uri string) (documents []byte) {
	t.Helper()
	database, err := connstring.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, uri)
	defer client.Disconnect(t.Context())
	db := client.Database(database.Database)
	names, err := db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		cursor, err := db.Collection(name).Find(t.Context(), bson.D{})
		if err != nil {
			t.Fatal(err)
		}
		for cursor.Next(t.Context()) {
			documents = append(documents, cursor.Current...)
		}
		if err := cursor.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return documents
}

func connect(t testing.TB, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// withDatabase puts the name of a database into a URI, in place of the one
// that it names.
func withDatabase(uri, name string) (string, error) {
	if _, err := connstring.ParseAndValidate(uri); err != nil {
		return "", fmt.Errorf("%s: %w", URIVariable, err)
	}
	rest, query, hasQuery := strings.Cut(uri, "?")
	scheme, rest, _ := strings.Cut(rest, "://")
	hosts, _, _ := strings.Cut(rest, "/")
	uri = scheme + "://" + hosts + "/" + name
	if hasQuery {
		uri += "?" + query
	}
	return uri, nil
}

// startOnce gives the URI of the server.
var startOnce = sync.OnceValues(func() (string, error) {
	if uri := os.Getenv(URIVariable); uri != "" {
		return uri, nil
	}
	module, err := findModule()
	if err != nil {
		return "", err
	}
	return startFerretDB(module)
})

// findModule finds test/ferretdb above the directory of the test.
func findModule() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		module := filepath.Join(dir, "test", "ferretdb")
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("%s is not set and there is no test/ferretdb", URIVariable)
		}
		dir = parent
	}
}

// server is the running FerretDB. It stops by itself when its standard input
// ends: with the test binary, however that ends. It must stay referenced, or
// the garbage collector would close our end of it.
var server *exec.Cmd

// startFerretDB builds FerretDB and starts it.
func startFerretDB(module string) (uri string, err error) {
	dir, err := os.MkdirTemp("", "daybook-mongotest-")
	if err != nil {
		return "", err
	}
	// A running program does not need its file.
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "ferretdb")
	// Only the SQLite backend is built. -race would turn on FerretDB's
	// debugging, and a test's own flags are not for it.
	build := exec.Command("go", "build", "-tags", "ferretdb_no_postgresql", "-o", program, ".")
	build.Dir = module
	build.Env = append(os.Environ(), "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", module, err, out)
	}

	server = exec.Command(program, "-stdin")
	server.Stderr = os.Stderr
	if _, err := server.StdinPipe(); err != nil {
		return "", err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := server.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s ended before it listened: %w", module, err)
	}
	return strings.TrimSpace(line), nil
}
