# make demo | test | cuts | chaos | check | bench | fuzz | deb | boots | install | uninstall | clean
#   PYTHON=python3.12   which Python (>= 3.11) makes the environments
#   DEMO="..."          options of `lamppost demo`
#   TESTS="..."         arguments of pytest
#   JOBS=N              processes that share the tests (4, and 3 for the boots: they wait more than they compute)
#   CUTS="..."          options of the power cuts, as root: --cuts 1000 --seed 7
#   CHAOS="..."         options of the chaos: --seconds 600 --seed 7 --database sqlite --json
#   BENCH="..."         options of the benchmarks
#   FUZZ_SECONDS=60     how long `make fuzz` tries each target; FUZZ="..." further options of it
#   ARCH=arm64, DEB_VERSION=...   for which machine `make deb` is, and by which version (tools/deb)
#   BOOTS="..."         arguments of pytest for the boots, as root
#   PREFIX, DESTDIR     where `make install` puts the agent, and below which root (for packagers)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
PREFIX ?= /opt/lamppost
DESTDIR ?=
DEMO ?=
TESTS ?=
CUTS ?= --cuts 1000
CHAOS ?= --seconds 600
BENCH ?=
BOOTS ?=
FUZZ ?=
FUZZ_SECONDS ?= 60

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1
export PIP_USE_PEP517 = 1
export PIP_ROOT_USER_ACTION = ignore

PACKAGES := ext config drivers buffer gateway collector
KERNELS := $(wildcard ext/*.pyx ext/*.pxd ext/*.h)
READY := .venv/.lamppost-ready
CACHED := PYTHONDONTWRITEBYTECODE= # images of containers set it; each of a thousand processes would compile all it imports

.PHONY: all demo test cuts chaos check bench fuzz deb boots install uninstall clean

all: $(READY)

demo: $(READY)
	@.venv/bin/lamppost demo $(DEMO)

test: JOBS ?= 4
test: $(READY)
	@tools/debian test
	@$(CACHED) .venv/bin/python -m pytest -n $(JOBS) --dist loadgroup $(TESTS)

cuts: $(READY)
	@tools/debian test
	@.venv/bin/python -m tests.power.cuts $(CUTS)

chaos: $(READY)
	@tools/debian test
	@.venv/bin/python -m tests.chaos $(CHAOS)

check: $(READY)
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m mypy
	@.venv/bin/lint-imports

bench: $(READY)
	@.venv/bin/python -c 'import google.protobuf, numpy, orjson, pcodec, pyarrow, zstandard' 2>/dev/null || .venv/bin/python -m pip install --quiet --editable '.[dev,bench]' >&2
	@.venv/bin/python bench/codec.py --batch 5000 $(BENCH)
	@.venv/bin/python bench/agent.py $(BENCH)
	@.venv/bin/python bench/store.py
	@.venv/bin/python bench/modbus.py

fuzz: $(READY)
	@tools/debian fuzz
	@.venv/bin/python -c 'import atheris' 2>/dev/null || .venv/bin/python -m pip install --quiet --editable '.[dev,fuzz]' >&2 || \
	  echo "lamppost: atheris could not be installed" >&2
	@.venv/bin/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS) $(FUZZ)

deb: $(READY)
	@tools/deb

boots: JOBS ?= 3
boots: $(READY)
	@tools/debian boots
	@deb=$$(DEB_COMPRESS=gzip tools/deb); LAMPPOST_DEB=$$deb .venv/bin/python -m pytest -n $(JOBS) tests/boots $(BOOTS)

.venv/bin/pip:
	@tools/debian build "$(PYTHON)"
	@echo "lamppost: making .venv (a minute or two)" >&2
	@"$(PYTHON)" -m venv --clear .venv || { rm -rf .venv; exit 1; }

$(READY): pyproject.toml setup.py $(KERNELS) | .venv/bin/pip
	@echo "lamppost: building the extensions and fetching packages into .venv" >&2
	@.venv/bin/python -m pip install --quiet --editable '.[dev]' >&2
	@rm -rf lamppost.egg-info # left of the build; python finds it before the installed one, and it would go stale
	@touch $(READY)

# ---- installation ----------------------------------------------------------------------------------------------------

INTO = $(DESTDIR)$(PREFIX)
LIB := $(DESTDIR)/usr/local/lib
BIN := $(DESTDIR)/usr/local/bin
SHARE := $(DESTDIR)/usr/local/share
ETC := $(DESTDIR)/etc
# Not lamppost-update.path and .service: they have dpkg install and take back a package.
SERVICES := lamppost.service lamppost-collector.service lamppost-web.service lamppost-collector-web.service \
  lamppost-collector-enroll.service lamppost-collector-alarms.service lamppost-renew.service
TIMERS := lamppost-renew.timer
UNITS := $(SERVICES) $(TIMERS)
WANTS := $(LIB)/systemd/system/timers.target.wants
COMMANDS := lamppost lamppost-collector
GENERATOR := $(LIB)/systemd/system-generators/lamppost-addresses

install:
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" != 0 ]; then echo "lamppost: please run: sudo make install" >&2; exit 77; fi
	@tools/debian build "$(PYTHON)"
	@umask 022; copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	tar -c --exclude='*.so' --exclude=__pycache__ pyproject.toml setup.py README.md LICENSE $(PACKAGES) | tar -x -C "$$copy"; \
	"$(PYTHON)" -m venv "$(INTO)"; \
	"$(INTO)/bin/python" -m pip install --quiet "$$copy[web]"
	@if [ -n "$(DESTDIR)" ]; then grep -rlIF -- "$(INTO)" "$(INTO)/bin" "$(INTO)/pyvenv.cfg" | xargs -rd '\n' sed -i "s|$(INTO)|$(PREFIX)|g"; fi
	@install -d "$(BIN)" "$(LIB)/systemd/system" "$(LIB)/systemd/system-generators" "$(ETC)/lamppost"
	@umask 022; "$(INTO)/bin/python" tools/man.py "$(SHARE)/man/man1"; for name in $(COMMANDS); do \
	  install -d "$(SHARE)/bash-completion/completions" "$(SHARE)/zsh/site-functions"; \
	  "$(INTO)/bin/python" "$(INTO)/bin/$$name" completion bash >"$(SHARE)/bash-completion/completions/$$name"; \
	  "$(INTO)/bin/python" "$(INTO)/bin/$$name" completion zsh >"$(SHARE)/zsh/site-functions/_$$name"; done
	@for name in $(COMMANDS); do ln -sfn "$(PREFIX)/bin/$$name" "$(BIN)/$$name"; done
	@umask 022; for unit in $(UNITS); do sed "s|/opt/lamppost|$(PREFIX)|g" "systemd/$$unit" >"$(LIB)/systemd/system/$$unit"; done
	@install -d "$(WANTS)"; for timer in $(TIMERS); do ln -sfn "../$$timer" "$(WANTS)/$$timer"; done # on, as by the package
	@umask 022; sed "s|/opt/lamppost|$(PREFIX)|g" systemd/generators/lamppost-addresses >"$(GENERATOR)"; chmod 755 "$(GENERATOR)"
	@install -D -m 644 systemd/sysusers.d/lamppost.conf "$(LIB)/sysusers.d/lamppost.conf"
	@install -D -m 644 systemd/tmpfiles.d/lamppost.conf "$(LIB)/tmpfiles.d/lamppost.conf"
	@keep() { [ -e "$$3" ] || install -m "$$1" "$$2" "$$3"; }; \
	keep 640 systemd/lamppost.toml "$(ETC)/lamppost/lamppost.toml"; \
	for name in collector.env collector-enroll.env; do keep 644 "systemd/$$name" "$(ETC)/lamppost/$$name"; done
	@if [ -z "$(DESTDIR)" ]; then \
	  systemd-sysusers "$(LIB)/sysusers.d/lamppost.conf"; \
	  systemd-tmpfiles --create "$(LIB)/tmpfiles.d/lamppost.conf"; \
	  if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl try-restart $(SERVICES); systemctl start $(TIMERS); fi; \
	  echo "installed in $(PREFIX); next: docs/install.md"; \
	fi

uninstall:
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl disable --now $(UNITS) || true; fi
	@rm -rf "$(INTO)"
	@for name in $(COMMANDS); do rm -f "$(BIN)/$$name" "$(SHARE)/man/man1/$$name".1 "$(SHARE)/man/man1/$$name"-*.1 \
	  "$(SHARE)/bash-completion/completions/$$name" "$(SHARE)/zsh/site-functions/_$$name"; done
	@for unit in $(UNITS); do rm -f "$(LIB)/systemd/system/$$unit" "$(WANTS)/$$unit"; done
	@rm -f "$(LIB)/sysusers.d/lamppost.conf" "$(LIB)/tmpfiles.d/lamppost.conf" "$(GENERATOR)"
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo "kept: $(ETC)/lamppost, /var/lib/lamppost* and the users"

clean:
	@rm -rf .venv build dist *.egg-info ext/*.so ext/*.c .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
