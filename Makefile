# Everything a developer or an operator does with this tree. `make run` and
# `make test` need Go, make and git only; the other targets install what they
# need, which takes Debian and root.

GO        ?= go
BIN       := bin/xoauth2-proxy
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS   := -s -w -X main.version=$(VERSION)
TOOL      := $(GO) tool -modfile=tools/go.mod
FUZZTIME  ?= 30s
FUZZTIME_OTHERS ?= $(FUZZTIME)
BENCHTIME ?= 1s
COUNT     ?= 1
DURATION  ?= 10m
MESSAGES  ?= 500000
UPGRADES  ?= 20
RATE      ?= 1000/s

.DEFAULT_GOAL := help
.PHONY: help build run test race lint fuzz bench e2e promtool profile loadgen soak accounting upgrade scale check clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(BIN) ## the static binary

.PHONY: $(BIN)
$(BIN):
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/xoauth2-proxy

run: build ## the proxy with its sandbox provider, ready for a first message; PORT=, ADMIN_PORT=, SANDBOX_PORT= move it
	$(BIN) demo $(if $(PORT),--port $(PORT)) $(if $(ADMIN_PORT),--admin-port $(ADMIN_PORT)) $(if $(SANDBOX_PORT),--sandbox-port $(SANDBOX_PORT))

test: ## all tests, without the race detector: that one needs a C compiler
	CGO_ENABLED=0 $(GO) test -shuffle=on -vet=off -ldflags=-w ./...

race: ## all tests with the race detector
	CGO_ENABLED=1 $(GO) test -race -shuffle=on -vet=off -ldflags=-w -timeout 20m ./...

lint: ## what .golangci.yml asks for, and dead code
	$(TOOL) golangci-lint run ./...
	$(TOOL) golangci-lint run --build-tags e2e ./e2e/ ./internal/share/... ./perf/scale/ ./perf/upgrade/
	@dead=$$($(TOOL) deadcode -test -tags e2e ./...) && test -z "$$dead" || { echo "$$dead"; exit 1; }

fuzz: ## every fuzz target for FUZZTIME
	GO='$(GO)' ./.ci/fuzz $(FUZZTIME) $(FUZZTIME_OTHERS)

bench: ## micro-benchmarks with allocation counts
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -count $(COUNT) ./...

e2e: build ## real mail clients through the proxy into the sandbox; installs them
	./e2e/install
	$(GO) test -tags e2e -count 1 -timeout 25m -skip 'Promtool|Prometheus' -v ./e2e/
	$(GO) test -tags e2e -count 1 -timeout 5m ./internal/share/redisstore/ ./perf/scale/ ./perf/upgrade/

promtool: ## rules, dashboards and metrics by Prometheus' own tools; installs them
	./e2e/install prometheus
	$(GO) test -tags e2e -count 1 -timeout 10m -run 'Promtool|Prometheus' ./e2e/

loadgen: ## the load generator
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/loadgen ./loadgen

profile: ## CPU, heap, mutex, block and off-CPU profiles of a load, flame graphs, and what changed since the last time
	$(GO) run ./perf profile

soak: build loadgen ## load, faults, reloads, restarts and rests for DURATION (20m, ...); fails on loss, doubles, growth and a busy rest
	$(GO) run ./perf soak --duration $(DURATION)

accounting: build loadgen ## MESSAGES messages with faults and kills; fails unless the accounting log is what clients were told and the provider has
	$(GO) run ./perf accounting --messages $(MESSAGES)

scale: ## several proxies with one set of limits, while what they share fails; SCALE="--quick" shortens it
	$(GO) run ./perf scale $(SCALE)

upgrade: ## UPGRADES upgrades of a running proxy under RATE; fails if a client notices, or a mailbox has too many connections
	$(GO) run ./perf upgrade --upgrades $(UPGRADES) --rate $(RATE) --p99 250ms

check: ## what CI runs
	./.ci/run

clean: ## remove what was built and measured
	rm -rf bin run profiles
