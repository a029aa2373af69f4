# `make demo` shows the main job; `make test` runs everything that is quick. Both fetch what they need.

CARGO ?= cargo
NATS_SERVER_PATH = $$(sh ops/nats-server.sh)

.PHONY: demo build test interop check bench soak fuzz drill clean

## One command: a CA, three validators, a revocation enforced across them.
demo: build
	@NATS_SERVER="$(NATS_SERVER_PATH)" target/debug/revocast demo

## The binary and every test.
build:
	@sh ops/nats-server.sh >/dev/null
	$(CARGO) build --locked --workspace

## Unit, property, conformance, end-to-end and small fault runs.
test: build
	@export NATS_SERVER="$(NATS_SERVER_PATH)"; \
	if $(CARGO) nextest --version >/dev/null 2>&1; \
	then $(CARGO) nextest run --locked --workspace; \
	else $(CARGO) test --locked --workspace; fi

## Against foreign programs: the OpenSSL command line, curl, Python.
interop: build
	@sh ops/interop.sh
	@export NATS_SERVER="$(NATS_SERVER_PATH)"; $(CARGO) test --locked -p revocast-tests --test interop --test clients

## Formatting, lints, licences, sources, crate homes.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked --release -p revocast-faults
	$$(sh ops/cargo-deny.sh) --all-features check bans licenses sources

## Ratios to floors and peers, in one run.
bench:
	cd tests/bench && $(CARGO) run --release --locked --bin crl && $(CARGO) run --release --locked --bin path && \
		$(CARGO) run --release --locked --bin question
	@sh ops/nats-server.sh >/dev/null
	cd tests/bench && NATS_SERVER="$$(sh ../../ops/nats-server.sh)" $(CARGO) run --release --locked --bin fleet

## Minutes of trouble, SOAK_SECONDS each: validators killed under load, a cluster's leader killed every three seconds.
SOAK_SECONDS ?= 120
soak: build
	@export NATS_SERVER="$(NATS_SERVER_PATH)" REVOCAST_SOAK_S=$(SOAK_SECONDS); \
	$(CARGO) test --locked -p revocast-tests --test soak -- --ignored --nocapture --test-threads 1

## Mass revocations in release: a list of a million, 200,000 and 3,000,000 at once, and 200 validators.
DRILL = target/release/revocast drill --nats-server "$(NATS_SERVER_PATH)"
drill:
	$(CARGO) build --release --locked -p revocast
	@if grep -aqE "REVOCAST_(FAIL|PANIC)_AT" target/release/revocast; then echo "fail points in a release build"; exit 1; fi
	$(DRILL) --entries 1000000 --revoke 100 --validators 8
	$(DRILL) --entries 1000000 --revoke 200000 --validators 8
	$(DRILL) --entries 1000000 --revoke 100 --validators 8 --repository --questions 0
	$(DRILL) --entries 1000 --revoke 3000000 --validators 2
	$(DRILL) --entries 20000 --revoke 100 --validators 200

## Each fuzz target for FUZZ_SECONDS, starting from its seeds.
FUZZ_SECONDS ?= 600
fuzz:
	cd tests/fuzz && for target in $$($(CARGO) fuzz list); do \
		mkdir -p corpus/$$target && RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target corpus/$$target seeds/$$target \
			-- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

clean:
	$(CARGO) clean
	rm -rf .cache
