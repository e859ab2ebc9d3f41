// Package access says who may do what: the keys that people and programs are
// given (key.go), how they are made, listed and revoked (keys.go), what a
// process knows of keys and of the settings of sites at any moment (book.go),
// how requests are let in (gate.go), and how a browser keeps a key from one
// request to the next (session.go).
package access
