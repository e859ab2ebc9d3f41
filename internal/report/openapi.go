package report

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"sync"

	"github.com/daybook-analytics/daybook/internal/web"
)

// openAPIPath is where the description of all endpoints is.
const openAPIPath = "/openapi.json"

// openAPI is the OpenAPI document of the role's questions. It is made of what
// the requests are parsed by and of the types that the answers are encoded from.
// The dashboard's files and /session, which are for browsers, and what operators
// have below /admin are not in it.
var openAPI = sync.OnceValue(func() []byte {
	types := schemas{}
	paths := object{}
	for _, e := range endpoints {
		paths[e.path] = object{"get": e.operation(types)}
	}
	paths[batchPath] = object{"post": batchOperation(types)}
	paths[jobsPath+"{id}"] = object{"get": jobOperation(types)}
	document, err := json.Marshal(object{
		"openapi": "3.1.0",
		"info": object{
			"title":       "Daybook reports",
			"version":     strconv.Itoa(answersVersion),
			"summary":     "What was counted on web sites.",
			"description": "Answers are read from rollups, which are made as events come in; what rollups cannot answer is counted from the raw events.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"paths": paths,
		// One of them, or none where the role is open.
		"security": []object{{"bearer": []string{}}, {"apiKey": []string{}}, {"session": []string{}}, {}},
		"components": object{
			"schemas": types,
			"securitySchemes": object{
				"bearer":  object{"type": "http", "scheme": "bearer", "description": "A key of scope read or admin. One of a single site is good for that site alone."},
				"apiKey":  object{"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key in a header of its own."},
				"session": object{"type": "apiKey", "in": "cookie", "name": "daybook-3001", "description": "The same key in the cookie that POST /session sets, for the dashboard's own pages alone: the name ends with the port of the server, or has none where its URL has none, and over TLS begins with __Host-."},
			},
		},
	})
	if err != nil {
		panic(err)
	}
	return append(document, '\n')
})

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	// An error here means that the client has gone.
	_, _ = w.Write(openAPI())
	return nil
}

// operation describes GET of an endpoint.
func (e *endpoint) operation(types schemas) object {
	parameters := []object{}
	takes := make(map[string]bool)
	for _, p := range e.params {
		parameters = append(parameters, p.describe())
		takes[p.name] = true
	}
	content := object{"application/json": object{"schema": types.of(reflect.TypeOf(e.sample))}}
	if e.table != nil {
		content["text/csv"] = object{"schema": object{"type": "string"}}
	}
	headers := object{"Daybook-As-Of": header("as_of of the answer")}
	responses := errorResponses(types, 400, 401, 403, 422, 429, 500, 503)
	if e.answer != nil {
		headers["ETag"] = header("names this answer, unless raw events were counted for it")
		responses["304"] = object{"description": "The answer is still the one that If-None-Match names, but for as_of.", "headers": headers}
	}
	responses["200"] = object{"description": "The answer.", "headers": headers, "content": content}
	if takes[asyncParam.name] {
		responses["202"] = object{
			"description": "The question was taken; it is answered where Location says.",
			"headers":     object{"Location": header("where the job is")},
			"content":     jsonOf(types, Job{}),
		}
	}
	return object{
		"operationId": e.name(),
		"summary":     e.summary,
		"parameters":  parameters,
		"responses":   responses,
	}
}

// describe gives a parameter as OpenAPI has it.
func (p *parameter) describe() object {
	schema := object{"type": "string"}
	switch {
	case p.schema != nil:
		schema = p.schema
	case p.values != nil:
		schema["enum"] = p.values
	}
	if p.repeats {
		schema = object{"type": "array", "items": schema}
	}
	return object{
		"name": p.name, "in": "query", "required": p.required, "schema": schema,
		"description": p.meaning + ". Allowed: " + p.allowed,
	}
}

func batchOperation(types schemas) object {
	value := []any{object{"type": "string"}, object{"type": "number"}, object{"type": "boolean"}}
	list := object{"type": "array", "items": object{"anyOf": value}}
	question := object{
		"type":                 "object",
		"description":          "the parameters that GET of the endpoint would have; one that is given several times is a list",
		"required":             []string{"endpoint"},
		"properties":           object{"endpoint": object{"type": "string", "enum": endpointNames()}},
		"additionalProperties": object{"anyOf": append(value, list)},
	}
	body := object{
		"type":                 "object",
		"required":             []string{"queries"},
		"properties":           object{"queries": object{"type": "array", "minItems": 1, "maxItems": maxBatch, "items": question}},
		"additionalProperties": false,
	}
	responses := errorResponses(types, 400, 401, 403, 413, 422, 429, 503)
	responses["200"] = object{
		"description": "An answer to each question, which may be an error.",
		"content":     jsonOf(types, Batch{}),
	}
	return object{
		"operationId": "query",
		"summary":     "Several questions in one request.",
		"requestBody": object{"required": true, "content": object{"application/json": object{"schema": body}}},
		"responses":   responses,
	}
}

func jobOperation(types schemas) object {
	responses := errorResponses(types, 401, 403, 404, 429, 500, 503)
	responses["200"] = object{"description": "The job.", "content": jsonOf(types, Job{})}
	return object{
		"operationId": "job",
		"summary":     "A question that was asked with async=true, and its answer once it is there.",
		"parameters": []object{{
			"name": "id", "in": "path", "required": true, "schema": object{"type": "string"},
			"description": "as in the Location that the question was answered with",
		}},
		"responses": responses,
	}
}

func jsonOf(types schemas, sample any) object {
	return object{"application/json": object{"schema": types.of(reflect.TypeOf(sample))}}
}

func header(meaning string) object {
	return object{"description": meaning, "schema": object{"type": "string"}}
}

// errorMeanings say when the report role answers with a status.
var errorMeanings = map[int]string{
	http.StatusBadRequest:            "The request cannot be read.",
	http.StatusUnauthorized:          "A key is needed, or this one is not known or revoked.",
	http.StatusForbidden:             "The key is for another scope or for another site, or in a session's cookie that a page of another origin has sent, or may have; or the role is open, and was asked by a name that is not localhost.",
	http.StatusNotFound:              "There is no such thing, or none of a site that the key is for.",
	http.StatusRequestEntityTooLarge: fmt.Sprintf("The body is larger than %d bytes.", maxBatchBytes),
	http.StatusUnprocessableEntity:   "A parameter is missing, wrong, unknown or given too often, or the question takes reading too many raw events.",
	http.StatusTooManyRequests:       "Too many requests of this key or address, or too many wrong keys of this address; Retry-After says when to ask again.",
	http.StatusInternalServerError:   "A fault of the server, whose log has more.",
	http.StatusServiceUnavailable:    "Not possible just now; Retry-After says when to ask again.",
}

// errorHeaders are those that the answers of a status have.
var errorHeaders = map[int]object{
	http.StatusUnauthorized: {"WWW-Authenticate": header("how to give a key")},
	http.StatusTooManyRequests: {
		"Retry-After":      header("seconds"),
		"RateLimit":        header("what is left of a limit of requests, unless it is about wrong keys; a list of draft-ietf-httpapi-ratelimit-headers"),
		"RateLimit-Policy": header("the limits of requests"),
	},
	http.StatusServiceUnavailable: {"Retry-After": header("seconds")},
}

func errorResponses(types schemas, statuses ...int) object {
	responses := object{}
	for _, status := range statuses {
		response := object{"description": errorMeanings[status], "content": jsonOf(types, web.Error{})}
		if headers, ok := errorHeaders[status]; ok {
			response["headers"] = headers
		}
		responses[strconv.Itoa(status)] = response
	}
	return responses
}
