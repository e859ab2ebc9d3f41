package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// setting is a row of docs/configuration.md, or a flag of the program in the
// same words.
type setting struct {
	flag, variable, value string // value is the default
}

// model gives the program's command line without running it.
func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(&cli{}, kong.DefaultEnvars("DAYBOOK"), kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// commands gives every command that can be run, by its path, as "migrate up".
func commands(t *testing.T) map[string]*kong.Node {
	t.Helper()
	found := map[string]*kong.Node{}
	for _, node := range model(t).Leaves(true) {
		var path []string
		for n := node; n.Type == kong.CommandNode; n = n.Parent {
			path = append([]string{n.Name}, path...)
		}
		found[strings.Join(path, " ")] = node
	}
	return found
}

// settingsOf gives the settings of a command.
func settingsOf(node *kong.Node) []setting {
	var settings []setting
	for _, f := range node.Flags {
		s := setting{flag: "--" + f.Name, variable: strings.Join(f.Envs, " "), value: "none"}
		switch {
		case f.HasDefault:
			s.value = f.Default
		case f.IsBool():
			s.value = "off"
		}
		settings = append(settings, s)
	}
	return settings
}

// documented reads the settings of each command from the tables.
func documented(t *testing.T) map[string][]setting {
	t.Helper()
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string][]setting{}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| `--") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) != 6 {
			t.Fatalf("docs/configuration.md: %d cells where 6 belong: %s", len(cells), line)
		}
		plain := func(i int) string { return strings.Trim(cells[i], "` ") }
		for command := range strings.SplitSeq(cells[4], ", ") {
			settings[command] = append(settings[command], setting{plain(0), plain(1), plain(2)})
		}
	}
	return settings
}

// The tables have every setting of every command and nothing else.
func TestConfigurationIsDocumented(t *testing.T) {
	inDocs := documented(t)
	nodes := commands(t)
	for command, node := range nodes {
		inProgram := settingsOf(node)
		for _, s := range inProgram {
			if !slices.Contains(inDocs[command], s) {
				t.Errorf("docs/configuration.md lacks for %s: %+v", command, s)
			}
		}
		for _, s := range inDocs[command] {
			if !slices.Contains(inProgram, s) {
				t.Errorf("docs/configuration.md has for %s what the program does not: %+v", command, s)
			}
		}
	}
	for _, f := range model(t).Flags {
		if len(f.Envs) > 0 {
			t.Errorf("--%s is no setting, but the variable %s gives it", f.Name, f.Envs[0])
		}
	}
	for command := range inDocs {
		if nodes[command] == nil {
			t.Errorf("docs/configuration.md names a command that there is not: %s", command)
		}
	}
}

// Help of each command succeeds, goes to standard output and names every
// setting.
func TestHelp(t *testing.T) {
	for command, node := range commands(t) {
		var stdout, stderr bytes.Buffer
		if code := run(append(strings.Fields(command), "--help"), &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Errorf("daybook %s --help: exit code %d, standard error %q", command, code, &stderr)
		}
		for _, s := range settingsOf(node) {
			negatable := strings.Replace(s.flag, "--", "--[no-]", 1)
			if !strings.Contains(stdout.String(), s.flag) && !strings.Contains(stdout.String(), negatable) {
				t.Errorf("daybook %s --help does not tell of %s:\n%s", command, s.flag, &stdout)
			}
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"--help"}, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("daybook --help: exit code %d, standard error %q", code, &stderr)
	}
	for _, node := range model(t).Children {
		if !strings.Contains(stdout.String(), node.Name) {
			t.Errorf("daybook --help does not tell of %s:\n%s", node.Name, &stdout)
		}
	}
}

// Links from one page to another lead somewhere.
func TestLinks(t *testing.T) {
	pages := []string{"../../README.md"}
	if err := filepath.WalkDir("../../docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#]+)`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), match[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, match[1], err)
			}
		}
	}
}
