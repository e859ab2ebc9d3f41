package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// result is one line of the table.
type result struct {
	Row  int    `json:"row"`
	What string `json:"what"`
	// Unit is that of Ours and Yardstick.
	Unit string `json:"unit"`
	Ours spread `json:"ours"`
	// Against says what the yardstick is. Yardstick and Ratio are missing
	// where there is none.
	Against   string  `json:"against,omitempty"`
	Yardstick *spread `json:"yardstick,omitempty"`
	Ratio     *spread `json:"ratio,omitempty"`
	// Goal is what was aimed at, in words; Met tells whether the medians
	// reach it. Both are missing in lines that are there for information.
	Goal string `json:"goal,omitempty"`
	Met  *bool  `json:"met,omitempty"`
}

// against fills in a comparison.
func (r result) against(what string, c comparison) result {
	r.Against, r.Ours, r.Yardstick, r.Ratio = what, c.ours, &c.yardstick, &c.ratio
	return r
}

// goal fills in a goal, and whether it is met.
func (r result) goal(met bool, format string, args ...any) result {
	r.Goal, r.Met = fmt.Sprintf(format, args...), &met
	return r
}

func (r result) columns() []string {
	cells := []string{
		fmt.Sprint(r.Row), r.What, r.Unit, r.Ours.text(number), r.Against, "", "", r.Goal, "",
	}
	if r.Yardstick != nil {
		cells[5] = r.Yardstick.text(number)
	}
	if r.Ratio != nil {
		cells[6] = r.Ratio.text(ratio)
	}
	if r.Met != nil {
		cells[8] = map[bool]string{true: "met", false: "missed"}[*r.Met]
	}
	return cells
}

// line is the result as one line of progress.
func (r result) line() string {
	cells := r.columns()
	text := fmt.Sprintf("  %s: %s %s", r.What, cells[3], r.Unit)
	if r.Yardstick != nil {
		text += fmt.Sprintf("; %s %s", r.Against, cells[5])
	}
	if r.Ratio != nil {
		text += "; ratio " + cells[6]
	}
	if r.Met != nil {
		text += fmt.Sprintf("; goal %s: %s", r.Goal, cells[8])
	}
	return text
}

// text gives the median, and least and most where they differ from it.
func (s spread) text(format func(float64) string) string {
	median, least, most := format(s.Median), format(s.Least), format(s.Most)
	if least == most {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, least, most)
}

// number shows three or more digits, with commas between thousands.
func number(f float64) string {
	switch {
	case f < 1:
		return fmt.Sprintf("%.3f", f)
	case f < 10:
		return fmt.Sprintf("%.2f", f)
	case f < 100:
		return fmt.Sprintf("%.1f", f)
	}
	text := fmt.Sprintf("%.0f", f)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func ratio(f float64) string {
	if f >= 100 {
		return number(f)
	}
	return fmt.Sprintf("%.2f", f)
}

// report is what is written as JSON.
type report struct {
	Machine machine   `json:"machine"`
	Begun   time.Time `json:"begun"`
	Seconds float64   `json:"seconds"`
	Pairs   int       `json:"pairs"`
	Results []result  `json:"results"`
}

// write writes the table to out and to the files that have a name.
func (r *report) write(out io.Writer, markdown, jsonFile string) error {
	var table bytes.Buffer
	fmt.Fprintf(&table, "%s. %s, %d pairs each, %.0f s in all. Median (least–most).\n\n",
		r.Machine, r.Begun.Format(time.DateOnly), r.Pairs, r.Seconds)
	table.WriteString("| # | what | unit | Daybook | yardstick | its figure | ratio | goal | |\n")
	table.WriteString("| --: | --- | --- | --: | --- | --: | --: | --- | --- |\n")
	for _, result := range r.Results {
		fmt.Fprintf(&table, "| %s |\n", strings.Join(result.columns(), " | "))
	}
	if _, err := out.Write(table.Bytes()); err != nil {
		return err
	}
	if markdown != "" {
		if err := os.WriteFile(markdown, table.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if jsonFile == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(jsonFile, append(text, '\n'), 0o644)
}

// machine describes what the run was made on.
type machine struct {
	CPUs   int    `json:"cpus"`
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
	OS     string `json:"os"`
	Go     string `json:"go"`
	Redis  string `json:"redis,omitempty"`
}

func (m machine) String() string {
	text := fmt.Sprintf("%d cores of %s, %s of memory, %s, %s", m.CPUs, m.CPU, m.Memory, m.OS, m.Go)
	if m.Redis != "" {
		text += ", Redis " + m.Redis
	}
	return text
}

// describeMachine tells what it can find out; the rest is "unknown".
func describeMachine() machine {
	m := machine{
		CPUs: runtime.GOMAXPROCS(0), CPU: fieldOf("/proc/cpuinfo", "model name"),
		Memory: "unknown", OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
	}
	var kib int64
	if _, err := fmt.Sscan(fieldOf("/proc/meminfo", "MemTotal"), &kib); err == nil {
		m.Memory = fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.OS = "Linux " + strings.TrimSpace(string(release)) + " " + runtime.GOARCH
	}
	if out, err := exec.Command("redis-server", "--version").Output(); err == nil {
		for word := range strings.FieldsSeq(string(out)) {
			if version, ok := strings.CutPrefix(word, "v="); ok {
				m.Redis = version
			}
		}
	}
	return m
}

// fieldOf gives what a file of /proc says of a name, "unknown" if nothing.
func fieldOf(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
