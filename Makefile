# make run | test | lint | bench | chaos | fuzz | build

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BENCH     ?= .
COUNT     ?= 6
FUZZTIME  ?= 1m
CHAOSTIME ?= 15m
SEED      ?= 0
TESTFLAGS ?=

GOTOOL := go tool -modfile=.ci/tools/go.mod

.PHONY: run test lint bench chaos fuzz build

run: build
	./bin/beeline demo

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/beeline ./cmd/beeline

# Coverage counts what other packages' tests reach.
test:
	.ci/needs
	@mkdir -p bin
	go test -race -timeout 30m -coverpkg=./registry,./registry/redisconn,./router,./node,./metrics -coverprofile=bin/cover.out $(TESTFLAGS) ./...
	.ci/coverage bin/cover.out 85 registry registry/redisconn router

lint:
	go mod tidy -diff
	$(GOTOOL) golangci-lint run ./...

bench:
	.ci/needs
	.ci/bench $(COUNT) '$(BENCH)'

# SEED=0 draws one and says which.
chaos:
	.ci/needs
	go run ./cmd/chaos --time $(CHAOSTIME) --seed $(SEED)

fuzz:
	.ci/needs
	.ci/fuzz $(FUZZTIME)
