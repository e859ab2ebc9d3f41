package importer

import (
	"fmt"
	"io"
	"time"
)

// Summary is what an import did.
type Summary struct {
	// Resumed is how many lines were passed over because they were confirmed
	// before, Lines how many were read after those.
	Resumed, Lines int64
	// Malformed lines could not be read; Skipped are those of access logs
	// that are no event, and Bots those that were passed over as events of
	// bots; empty lines are none of these.
	Malformed, Skipped, Bots int64
	// MalformedLines are the first of them.
	MalformedLines []Problem

	// Events is how many were sent and answered, Accepted how many of them
	// the server has taken, now or in an earlier import, and Rejected how many
	// it refused.
	Events, Accepted, Rejected int64
	// RejectedLines are those of the first rejected ones.
	RejectedLines []Problem
	// Retries is how often a request had to be sent again.
	Retries int64
	Took    time.Duration
}

// maxProblems is how many problems of a kind are told one by one.
const maxProblems = 10

// Problem is what is wrong with one line.
type Problem struct {
	File string
	// Line counts from 1.
	Line    int64
	Problem string
}

func appendProblem(problems []Problem, at place, problem string) []Problem {
	if len(problems) == maxProblems {
		return problems
	}
	return append(problems, Problem{File: at.file, Line: at.line, Problem: problem})
}

// print writes the summary for a person.
func (s *Summary) print(w io.Writer) {
	seconds := s.Took.Seconds()
	if s.Resumed > 0 {
		fmt.Fprintf(w, "%10d lines passed over, confirmed before\n", s.Resumed)
	}
	fmt.Fprintf(w, "%10d lines read in %.1f seconds\n", s.Lines, seconds)
	fmt.Fprintf(w, "%10d events sent, %.0f a second: %d accepted, %d rejected\n", s.Events, float64(s.Events)/seconds, s.Accepted, s.Rejected)
	printProblems(w, s.RejectedLines, s.Rejected)
	fmt.Fprintf(w, "%10d lines malformed\n", s.Malformed)
	printProblems(w, s.MalformedLines, s.Malformed)
	fmt.Fprintf(w, "%10d lines are no event (no request, not a GET with status 2xx or 304)\n", s.Skipped)
	if s.Bots > 0 {
		fmt.Fprintf(w, "%10d events of bots passed over\n", s.Bots)
	}
	if s.Retries > 0 {
		fmt.Fprintf(w, "%10d requests sent again while the server was away or busy\n", s.Retries)
	}
}

func printProblems(w io.Writer, problems []Problem, n int64) {
	for _, p := range problems {
		fmt.Fprintf(w, "%12s%s line %d: %s\n", "", p.File, p.Line, p.Problem)
	}
	if more := n - int64(len(problems)); more > 0 {
		fmt.Fprintf(w, "%12sand %d more\n", "", more)
	}
}
