# make run | test | lint | bench | chaos | simulate | fuzz | build

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BENCH     ?= .
COUNT     ?= 6
FUZZTIME  ?= 1m
CHAOSTIME ?= 15m
SEED      ?= 0
SEEDS     ?= 0
TESTFLAGS ?=

GOTOOL := go tool -modfile=.ci/tools/go.mod

.PHONY: run test lint bench chaos simulate fuzz build

run: build
	./bin/beeline demo

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/beeline ./cmd/beeline

# Coverage counts what other packages' tests reach. The simulation runs one task at a time:
# the race detector only makes its histories few.
test:
	.ci/needs
	@mkdir -p bin
	go test $(TESTFLAGS) ./router/simulation
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

# SEED=0 draws the first seed, SEEDS=0 runs until a promise is broken or somebody stops it.
simulate:
	go test ./router/simulation -run TestSimulate -v -count 1 -timeout 0 -simulate -seed=$(SEED) -seeds=$(SEEDS)

fuzz:
	.ci/needs
	.ci/fuzz $(FUZZTIME)
