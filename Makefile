# teu's tasks. `make lab` and `make test` do all their set-up themselves, on Debian 12 as root or with sudo.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(HOME)/.cargo/bin:$(PATH)
LAB ?= $(CURDIR)/lab
export LAB
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

build: ## the release binary
	@scripts/setup.sh build
	cargo build --release --package teu

lab: ## an image without Docker, step by step on real content: make lab [IMAGE=docker://…]
	@scripts/setup.sh build lab
	@scripts/lab.sh $(IMAGE)

test: ## every test and every check, as CI runs them
	@scripts/setup.sh build peers go lint fuzz
	@scripts/test.sh

lint: ## format, clippy, documentation, dependencies
	@scripts/setup.sh build lint
	@scripts/lint.sh

bench: ## teu beside its peers, into bench/RESULTS.md; make bench ROWS="pull push" only shows those
	@scripts/setup.sh build go bench
	@cargo run --quiet --package bench -- $(if $(ROWS),--only "$(ROWS)",--write)

fuzz: ## a short run of every fuzz target: make fuzz [SECONDS_EACH=20]
	@scripts/setup.sh build fuzz
	@scripts/fuzz.sh $(or $(SECONDS_EACH),20)

soak: ## what is long: hours; docs/soak.md keeps what came of it
	@scripts/setup.sh build peers go bench fuzz
	@scripts/soak.sh $(SECONDS_EACH)

dist: ## a static binary, run in an empty root, its size guarded
	@scripts/setup.sh build lab
	@scripts/dist.sh

image: ## teu's own image, made by teu of its static binary, in target/dist/image
	@scripts/setup.sh build lab
	@scripts/dist.sh
	@scripts/image.sh

clean: ## what the other targets made
	rm -rf "$(LAB)"
	cargo clean

.PHONY: help build lab test lint bench fuzz soak dist image clean
