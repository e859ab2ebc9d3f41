// Package web is what the HTTP roles share: a server with limits and an
// orderly stop, the health endpoints, and the one place in which errors
// become answers.
package web
