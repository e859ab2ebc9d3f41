package migrations

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestAll(t *testing.T) {
	all := All()
	if len(all) == 0 || len(all) != Latest() {
		t.Fatalf("%d migrations, latest is %d", len(all), Latest())
	}
	for i, m := range all {
		if m.Version != i+1 || m.Name == "" {
			t.Errorf("migration %d has version %d and name %q", i+1, m.Version, m.Name)
		}
	}
	if all[0].Name != "init" {
		t.Errorf("first migration is %q, want init", all[0].Name)
	}
}

func TestReadFindsBadFiles(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"gap", map[string]string{"0001_a": "[]", "0003_b": "[]"}, "0003_b.json: version 0002 belongs there"},
		{"twice", map[string]string{"0001_a": "[]", "0001_b": "[]"}, "0001_b.json: version 0002 belongs there"},
		{"syntax", map[string]string{"0001_a": "[{]"}, "0001_a.json: invalid character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for name, data := range c.files {
				files["mongodb/"+name+".json"] = &fstest.MapFile{Data: []byte(data)}
			}
			if _, err := read(files); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
}
