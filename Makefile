# make help lists what there is.

GO ?= go
# What "fairlead version" tells: the latest tag and what came after it, or the commit, or dev outside of git.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS = -s -w -X main.version=$(VERSION)
# The race detector needs a C compiler; without one the tests run without it.
RACE := $(shell [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v $$($(GO) env CC) >/dev/null 2>&1 && echo -race)
TEST_TIMEOUT ?= 20m
# How long each fuzz target runs.
FUZZTIME ?= 10s
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Arguments for make demo, such as ARGS="--fes 5 --chaos", for make chaos, for make bench and for make scale.
ARGS ?=

.PHONY: build demo test mixed reloads upgrades chaos clients bench scale check lint fuzz clean help

build: ## the static binary ./fairlead
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o fairlead .

demo: build ## three stand-in front ends and the balancer in one process (ARGS="--chaos")
	@exec ./fairlead demo $(ARGS)

test: ## all tests; those that need a server which is not installed say so and are skipped
	@[ -n "$(RACE)" ] || echo "no C compiler (CC, CGO_ENABLED): testing without the race detector" >&2
	$(GO) test $(RACE) -shuffle=on -timeout $(TEST_TIMEOUT) ./...

reloads: ## 1,000 reloads of every kind in a row under a load of clients, some minutes
	FAIRLEAD_E2E_RELOADS=1000 $(GO) test -count=1 -timeout 60m -v -run TestReloadUnderLoad ./e2e

upgrades: ## 100 upgrades of the binary in a row under a load of clients, two minutes
	FAIRLEAD_E2E_UPGRADES=100 $(GO) test -count=1 -v -timeout 10m -run 'TestUpgrade$$' ./e2e

mixed: ## 10,000 connections of every kind at random on one port, half a minute
	FAIRLEAD_E2E_MIXED=10000 $(GO) test -count=1 -timeout 10m -run TestMixedClientsOnOnePort ./e2e

chaos: ## a random script of faults under clients that check every byte, 5 minutes (ARGS="--seed 7 --minutes 2")
	FAIRLEAD_CHAOS="--minutes 5 $(ARGS)" $(GO) test -count=1 -timeout 24h -v -run 'TestChaos$$' ./e2e

clients: ## the matrix of real clients, and its table in README.md, two minutes; those that are not installed fail (.ci/run installs them)
	FAIRLEAD_E2E_README=1 FAIRLEAD_E2E_REQUIRE=1 $(GO) test -count=1 -timeout 10m -run 'TestClients$$' ./e2e

bench: ## fairlead side by side with its peers, about 20 minutes (ARGS="--rounds 1 --loads a")
	$(GO) run ./e2e/bench $(ARGS)

scale: ## how costs grow with backends, lines, sessions and sources, about five minutes (ARGS="--studies choose")
	$(GO) run ./e2e/scale $(ARGS)

check lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w needs to be run on:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

fuzz: ## each fuzz target for FUZZTIME (10s)
	@.ci/fuzz $(FUZZTIME)

clean: ## remove what make has built
	rm -rf fairlead bench-out

help: ## this list
	@sed -n 's/^\([a-z ]*\):.*## \(.*\)/\1	\2/p' Makefile | expand -t 14
