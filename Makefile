# `make help` lists the targets. CI calls nothing else (.ci/run).

GOLANGCI_LINT  := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
COMPOSE        := github.com/compose-spec/compose-go/v2/cmd@v2.16.2
GITLEAKS       := github.com/zricethezav/gitleaks/v8@v8.30.1
GOVULNCHECK    := golang.org/x/vuln/cmd/govulncheck@v1.9.0
DOCKERFILELINT := dockerfile-utils@0.16.3

# Set VERSION for the build of a release, as in `make build VERSION=v1.2.3`.
VERSION  ?=
# How long `make fuzz` runs each fuzz target.
FUZZTIME ?= 10s
# What `make test`, `make cover`, `make bench-go` and `make bench-compare` take,
# as in `make test PKG=./rollup`.
PKG      ?= ./...
# How often `make bench-go` and `make bench-compare` run each micro-benchmark.
COUNT    ?= 6

TRACKER_SIZE = echo "daybook.js has $$(gzip -9c <internal/tracker/daybook.min.js | wc -c) bytes gzipped"

DASHBOARD      := internal/dashboard/ui
DASHBOARD_SIZE = echo "the dashboard has $$(find $(DASHBOARD)/dist -type f -exec sh -c 'gzip -9c "$$0" | wc -c' {} \; | awk '{ n += $$1 } END { print n }') bytes gzipped"

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the static binary bin/daybook
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.releaseVersion=$(VERSION)" -o bin/daybook ./cmd/daybook
	@$(TRACKER_SIZE)
	@$(DASHBOARD_SIZE)

.PHONY: tracker
tracker: ## Minify the tracker script, which is embedded in the binary (needs Node)
	mkdir -p bin
	scripts/minify-tracker >bin/daybook.min.js
	mv bin/daybook.min.js internal/tracker/daybook.min.js
	@$(TRACKER_SIZE)

.PHONY: dashboard
dashboard: ## Build the dashboard, which is embedded in the binary (needs Node)
	cd $(DASHBOARD) && npm ci --no-fund --no-audit && npm run build
	@$(DASHBOARD_SIZE)

.PHONY: dashboard-check
dashboard-check: ## Hold that the built dashboard is what its sources make (needs Node)
	cd $(DASHBOARD) && npm ci --no-fund --no-audit && npm run build -- --outDir $(CURDIR)/bin/dashboard --emptyOutDir
	@diff -r $(DASHBOARD)/dist bin/dashboard || \
		{ echo "$(DASHBOARD)/dist is not what its sources make: run make dashboard and commit it" >&2; exit 1; }

.PHONY: test
test: ## Install what the tests need, and run them all with the race detector
	scripts/install-test-tools
	go vet $(PKG)
	scripts/with-servers go test -race $(PKG)
	go test ./internal/worker -run TestExactlyOnce -rapid.checks=10000
	$(MAKE) test-openapi

.PHONY: test-openapi
test-openapi: ## Hold every operation of the report role to its OpenAPI document
	cd test/openapi && go vet ./... && go test -race ./...

.PHONY: test-faults
test-faults: ## Test with networks that fail, servers that are away and queues that are full
	scripts/install-test-tools
	cd test/faults && go vet ./... && ../../scripts/with-servers go test -race -v ./...

.PHONY: test-crash
test-crash: ## Strike real processes many times, and count (five minutes or more)
	scripts/install-test-tools
	CI=true DAYBOOK_CRASH_STRIKES=80 DAYBOOK_CRASH_OUTAGE=20s DAYBOOK_CRASH_RATE=2000 \
		go test -count=1 -v -timeout 30m ./test/crash

.PHONY: test-browser
test-browser: build ## Test the tracker and the dashboard in a real browser (needs Node)
	scripts/install-browser
	cd test/browser && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-fund --no-audit && npm test

.PHONY: screenshots
screenshots: build ## Take the pictures of the dashboard in docs/images (needs Node)
	scripts/install-browser
	cd test/browser && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-fund --no-audit && node screenshots.js

.PHONY: test-rules
test-rules: ## Parse the alert rules and the dashboard as Prometheus does
	cd test/rules && go vet ./... && go test ./...

.PHONY: smoke
smoke: ## Do what the README's first screen says, and compare with what it shows
	scripts/install-test-tools
	scripts/smoke

.PHONY: lint
lint: ## Check the form of the code and the rules of .golangci.yaml
	go run $(GOLANGCI_LINT) run

.PHONY: lint-docker
lint-docker: ## Check Dockerfile and docker-compose.yml (needs Node)
	npx --yes $(DOCKERFILELINT) lint Dockerfile
	go run $(COMPOSE) docker-compose.yml >/dev/null

.PHONY: secrets
secrets: ## Look for keys and passwords in all commits
	scripts/secrets $(GITLEAKS)

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in what the program calls (needs the network)
	scripts/vulncheck $(GOVULNCHECK)

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (10s)
	scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: build ## Measure everything beside its yardstick, into bin/bench.md (15 minutes)
	scripts/install-test-tools
	go run ./test/bench -json bin/bench.json -markdown bin/bench.md

.PHONY: bench-go
bench-go: ## Run the micro-benchmarks COUNT (6) times, into bin/bench-go.txt
	scripts/install-test-tools
	scripts/bench-go $(COUNT) $(PKG)

.PHONY: bench-compare
bench-compare: ## Compare them with those of a commit, as in BASE=v1.2.3 PKG=./rollup
	scripts/install-test-tools
	BASE=$(or $(BASE),$(error set BASE to the commit to compare with)) scripts/bench-go $(COUNT) $(PKG)

.PHONY: bench-report
bench-report: build ## Measure what a dashboard's questions cost on a year of data (ten minutes)
	go run ./test/bench/report -json bin/bench-report.json

.PHONY: cover
cover: ## Test with coverage into bin/cover.out, and sum it up
	scripts/install-test-tools
	mkdir -p bin
	scripts/with-servers go test -coverpkg=./... -coverprofile=bin/cover.out $(PKG)
	go tool cover -func=bin/cover.out | tail -1

.PHONY: update-lists
update-lists: ## Make the lists of bots and referrers again, as scripts/update-lists says (needs Node)
	scripts/update-lists

.PHONY: clean
clean: ## Remove what builds leave behind (never data)
	rm -rf bin
