// Package access says who may do what: the keys that people and programs are
// given (key.go), how they are made, listed and revoked (keys.go), what a
// process knows of keys and of the settings of sites at any moment (book.go),
// and how requests are let in (gate.go).
package access
