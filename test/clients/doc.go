// Package clients runs the examples of docs/clients.md as their readers would,
// against a real server behind a bad network, and holds what is counted
// against what they sent. It has only tests.
package clients
