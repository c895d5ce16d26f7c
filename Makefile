# What a machine needs: Go, Node.js with npm, a C compiler (for the race detector), make and git. The rest is installed
# by the targets that use it, inside this directory: see the section "Tools" below.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BUF := node_modules/.bin/buf
REDOCLY := node_modules/.bin/redocly
OPENAPI := gen/openapi/goodship.openapi.json
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := .bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
# Nothing if the machine has prometheus and promtool.
PROMETHEUS := $(if $(and $(shell command -v prometheus),$(shell command -v promtool)),,.bin/prometheus/usr/bin/prometheus)
# Nothing if the machine has Chromium, or Chrome.
CHROMIUM := $(if $(shell command -v chromium || command -v chromium-browser || command -v google-chrome),,.bin/chromium/chromium)

# The commit that `make breaking` compares with: main, or on main itself the commit before.
BASE ?= $(if $(filter $(shell git rev-parse HEAD 2>/dev/null),$(shell git rev-parse main 2>/dev/null)),HEAD^,main)

.PHONY: help generate check-generated lint breaking openapi test tools

help: ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

## What is generated

# The merge keeps info, servers and security of the first document, so that is the one made from the proto with the
# openapiv3_document option; the others follow sorted, so that every run gives the same bytes. The generator shows a stream as
# one plain reply, and has no option to say that it is a stream of server-sent events, each of which holds such a reply.
generate: node_modules/.package-lock.json third_party/.stamp ## Generate gen/ and the table of docs/errors.md from proto/.
	$(BUF) generate
	@option=$$(grep -rl --include='*.proto' '^option .*openapiv3_document' proto || true); \
	if [ "$$(wc -w <<<"$$option")" -ne 1 ]; then \
		echo "make generate: the option openapiv3_document must stand in exactly one proto, found in: $${option:-none}" >&2; exit 1; \
	fi; \
	first=$${option#proto/}; first=.openapi/$${first%.proto}.openapi.json; \
	if [ ! -f "$$first" ]; then \
		echo "make generate: the option openapiv3_document must stand in a proto with a service that has REST paths, not in $$option" >&2; exit 1; \
	fi; \
	rest=$$(find .openapi -name '*.openapi.json' ! -path "$$first" | LC_ALL=C sort); \
	mkdir -p $(dir $(OPENAPI)); \
	go tool openapiv3-merge "$$first" $$rest >.openapi/merged.json; \
	perl -0pi -e 's!"application/json"(: \{\s*"schema": \{\s*"\$$ref": "#/components/schemas/goodship\.v1\.(?:WatchUpdate|ExportCustomerResponse)")!"text/event-stream"$$1!g' .openapi/merged.json; \
	mv .openapi/merged.json $(OPENAPI); \
	echo "$(OPENAPI)"
	$(BUF) build proto -o -#format=binpb | go run ./tools/errortable

check-generated: generate ## Fail unless what is committed in gen/ and docs/errors.md is what proto/ generates.
	@changed=$$(git status --porcelain -- gen docs/errors.md); \
	if [ -n "$$changed" ]; then \
		printf '%s\n' "$$changed"; git --no-pager diff --stat -- gen docs/errors.md; \
		echo "make check-generated: this is not what is committed: run 'make generate' and commit it with proto/" >&2; exit 1; \
	fi

## What is checked

lint: node_modules/.package-lock.json third_party/.stamp $(GOLANGCI_LINT) ## Check the style of protos and Go.
	$(BUF) format --diff --exit-code proto
	$(BUF) lint
	go vet ./...
	cd bench && go vet ./...
	$(GOLANGCI_LINT) run

# What BASE imports is written from its own protos: buf resolves imports inside the tree that it reads only.
breaking: node_modules/.package-lock.json third_party/.stamp ## Fail if the API breaks that of the commit BASE (main).
	@if ! git rev-parse --verify --quiet '$(BASE)^{commit}' >/dev/null; then \
		echo "make breaking: there is no commit $(BASE), so nothing to compare with"; exit 0; \
	elif ! git cat-file -e '$(BASE):proto' 2>/dev/null; then \
		echo "make breaking: $(BASE) has no proto directory, so nothing to compare with"; exit 0; \
	elif git diff --quiet '$(BASE)' -- proto; then \
		echo "make breaking: the protos of $(BASE) are these, unchanged"; exit 0; \
	fi; \
	rm -rf .breaking; mkdir .breaking; \
	git archive '$(BASE)' proto | tar -x -C .breaking; \
	cp buf.yaml .breaking/; \
	go run ./tools/protodeps -proto .breaking/proto -out .breaking/third_party/proto; \
	$(BUF) build .breaking/proto -o .breaking/base.binpb; \
	$(BUF) breaking proto --exclude-imports --against .breaking/base.binpb; \
	rm -rf .breaking; \
	echo "make breaking: nothing breaks the API of $(BASE)"

openapi: node_modules/.package-lock.json ## Check that the OpenAPI document is valid.
	REDOCLY_SUPPRESS_UPDATE_NOTICE=true $(REDOCLY) lint $(OPENAPI)

test: node_modules/.package-lock.json $(PROMETHEUS) $(CHROMIUM) ## Run all tests, under the race detector.
	PATH="$$PATH:$(CURDIR)/.bin/prometheus/usr/bin:$(CURDIR)/.bin/chromium" go test -race -timeout 20m ./...

## Tools

tools: node_modules/.package-lock.json third_party/.stamp $(GOLANGCI_LINT) $(PROMETHEUS) $(CHROMIUM) ## Install what the other targets use.

# buf comes from npm and is no tool of go.mod, where it would bring 150 lines of go.sum and raise versions of ours.
node_modules/.package-lock.json: package.json package-lock.json .npmrc
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# golangci-lint is no tool of go.mod: its authors advise against it, since it would raise versions of ours.
$(GOLANGCI_LINT):
	GOBIN='$(CURDIR)/.bin' go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv .bin/golangci-lint $@

# What comes as Debian's packages is unpacked without root, whether or not the machine has lists of packages: $(call apt,DIR)
# defines a shell function `apt`, whose lists and cache lie in DIR.
apt = mkdir -p $1/lists/partial $1/cache/archives/partial; \
	apt() { apt-get -qq -o Dir::State::lists='$(CURDIR)/$1/lists' -o Dir::Cache='$(CURDIR)/$1/cache' -o APT::Sandbox::User=root -o Debug::NoLocking=1 "$$@"; }

# Metrics, alerts and the dashboard are tested with Debian's Prometheus.
.bin/prometheus/usr/bin/prometheus:
	@if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then \
		echo "make test: prometheus and promtool are missing, and this is no Debian to get them from: install Prometheus (prometheus.io/download) and put both on PATH" >&2; exit 1; \
	fi
	@rm -rf .bin/prometheus; $(call apt,.bin/prometheus/apt); \
	cd .bin/prometheus/apt; apt update; apt download prometheus; dpkg -x prometheus_*.deb ..
	@rm -rf .bin/prometheus/apt; touch $@

# The page of examples/page is tested in Debian's Chromium, with those of the libraries it needs that the machine lacks: some
# 120 MB to fetch, 400 MB unpacked, 10 seconds. The target is a script that starts it where it was unpacked.
.bin/chromium/chromium:
	@if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then \
		echo "make test: there is no Chromium, and this is no Debian to get it from: install it (chromium.org) and put chromium, chromium-browser or google-chrome on PATH" >&2; exit 1; \
	fi
	@echo "make: fetching Chromium as Debian's packages, some 120 MB"
	@rm -rf .bin/chromium; $(call apt,.bin/chromium/apt); \
	apt update; apt install --download-only --no-install-recommends --yes chromium; \
	for package in .bin/chromium/apt/cache/archives/*.deb; do dpkg -x "$$package" .bin/chromium; done
	@rm -rf .bin/chromium/apt; cd .bin/chromium; \
	libraries=$$(find usr -name '*.so*' -printf '$$here/%h\n' | sort -u | paste -sd :); \
	printf '%s\n' '#!/bin/sh' 'here=$$(cd "$$(dirname "$$0")" && pwd)' "export LD_LIBRARY_PATH=\"$$libraries\"" \
		'exec "$$here/usr/lib/chromium/chromium" "$$@"' >chromium.new; \
	chmod +x chromium.new; ./chromium.new --version; mv chromium.new chromium

# The protos of other projects that ours import.
third_party/.stamp: go.mod go.sum $(wildcard tools/protodeps/*.go) $(shell find proto -name '*.proto' 2>/dev/null)
	go run ./tools/protodeps
	@touch $@
