package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/daybook-analytics/daybook/internal/sender"
)

// maxLine is the most bytes of a line; longer ones are malformed. No event
// could be longer.
const maxLine = sender.MaxEventBytes

// errLongLine is given for a line of more than maxLine bytes, which is skipped.
var errLongLine = fmt.Errorf("it is longer than %d bytes", maxLine)

// input is one file, or the standard input, read line by line.
type input struct {
	name string
	file io.ReadCloser
	// read counts the bytes of the file that were taken, compressed as they
	// are.
	read  *countingReader
	lines *bufio.Reader
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// openInput opens a file, "-" for stdin, and looks at its first bytes to see
// if it is compressed.
func openInput(name string, stdin io.Reader) (*input, error) {
	in := &input{name: name}
	if name == "-" {
		in.name = "standard input"
		in.file = io.NopCloser(stdin)
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		in.file = f
	}
	in.read = &countingReader{r: in.file}
	in.lines = bufio.NewReaderSize(in.read, maxLine+len("\r\n"))
	if magic, _ := in.lines.Peek(2); string(magic) != "\x1f\x8b" {
		return in, nil
	}
	z, err := gzip.NewReader(in.lines)
	if err != nil {
		return nil, errors.Join(in.fault(err), in.file.Close())
	}
	in.lines = bufio.NewReaderSize(z, maxLine+len("\r\n"))
	return in, nil
}

// next gives the next line without its end; ended is false for a last line
// that has none. The line is valid until the next call. After the last one
// the error is io.EOF; after errLongLine the next call goes on.
func (in *input) next() (line []byte, ended bool, err error) {
	line, err = in.lines.ReadSlice('\n')
	switch {
	case err == nil:
		line = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
		if len(line) > maxLine {
			err = errLongLine
		}
		return line, true, err
	case errors.Is(err, bufio.ErrBufferFull):
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.lines.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return nil, false, in.fault(err)
		}
		return nil, err == nil, errLongLine
	case err == io.EOF && len(line) > 0:
		return line, false, nil
	case err == io.EOF:
		return nil, false, err
	}
	return nil, false, in.fault(err)
}

// fault is the error of reading the file.
func (in *input) fault(err error) error {
	return fmt.Errorf("%s cannot be read to its end (%w): the lines before are imported", in.name, err)
}

// Formats of input.
const (
	FormatAuto     = "auto"
	FormatCombined = "combined"
	FormatNDJSON   = "ndjson"
)

// format tells the format by the first line that fits one, among those that
// the buffer holds.
func (in *input) format() (string, error) {
	// The error only says that there is less than a whole buffer.
	head, _ := in.lines.Peek(maxLine)
	first := ""
	for line := range bytes.Lines(head) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if _, err := parseJSONEvent(line); err == nil {
			return FormatNDJSON, nil
		}
		if _, err := parseAccessLine(line); err == nil {
			return FormatCombined, nil
		}
		if first == "" {
			first = string(line[:min(len(line), 60)])
		}
	}
	if first == "" {
		return FormatNDJSON, nil // nothing but empty lines: any format does
	}
	return "", fmt.Errorf("%s: no line among the first is of an access log or a JSON object, the first is %q: name the format with --format if it is one of %s, %s",
		in.name, first, FormatCombined, FormatNDJSON)
}
