# `make run` and `make test` install what is missing first; `make` lists the targets.
#
# PYTHON is what the virtual environment is made with; RELEASE of Debian and COMMAND are what `make test-debian` tests on
# and with.

PYTHON ?= python3
RELEASE ?= trixie
COMMAND ?= make test
VENV := .venv
INSTALLED := $(VENV)/.installed
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)

# Debian keeps daemons where the PATH of a user who is not root does not look.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help run lab test test-alerts test-faults test-tunnels test-containers test-debian test-page page-screenshots bench lint clean packages chromium

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' Makefile

run: $(INSTALLED) ## a controller and its topology database on this machine, with the demo networks, until Ctrl-C
	$(SUDO) $(VENV)/bin/python -m scripts.run

lab: $(INSTALLED) ## three hosts with a controller each and six VMs on this machine, to play with until Ctrl-C
	$(SUDO) $(VENV)/bin/python -m scripts.lab

# The tests with real packets make network namespaces; what root writes must not be in a user's way afterwards.
# Tests start some thousand processes: what these load is compiled before, and once. A quarter of their time they wait, so
# more of them run at once than two processors are. Files with real packets are begun in the order of their names: by the
# number of their tests, as it would be otherwise, the longest came last.
# Without promtool its test is left out, so that what cannot be downloaded keeps nobody from the others.
test: lint ## the linters, then all tests but the long ones; on both hubs where the hub has a part in it
	-$(VENV)/bin/python -m scripts.promtool
	$(VENV)/bin/python -m compileall -q apps controller scripts tests/support topology
	$(VENV)/bin/pytest --numprocesses 6 --dist worksteal --ignore tests/e2e --ignore tests/page
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/pytest -p no:cacheprovider --numprocesses 3 --dist loadfile --no-loadscope-reorder tests/e2e

test-alerts: $(INSTALLED) ## the alerts and the dashboard's queries by Prometheus' promtool, which is downloaded if need be
	$(VENV)/bin/python -m scripts.promtool

test-faults: $(INSTALLED) ## the long tests of restarts, outages and kills, with real packets; see docs/reliability.md
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/pytest -p no:cacheprovider -m long --log-cli-level=INFO

PAGE_TESTS ?= tests/page

test-page: $(INSTALLED) chromium ## the page in a headless Chromium, with 3 hosts of a lab and with 10,000 ports; see docs/development.md
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/pytest -p no:cacheprovider -s $(PAGE_TESTS)

page-screenshots: $(INSTALLED) chromium ## the pictures of docs/page.md
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -m scripts.page_screenshots docs/page

TUNNELS ?= port-per-peer-ipv6 flow-based-ipv4 flow-based-ipv6 mixed-ipv4 mixed-ipv6

test-tunnels: $(INSTALLED) ## the tests with real packets with TUNNELS of each mode over IPv4 and IPv6; see docs/lab.md
	@for each in $(TUNNELS); do echo "== $$each"; \
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 TUNNEL_MODE=$${each%-*} UNDERLAY=$${each##*-} \
	$(VENV)/bin/pytest -p no:cacheprovider --numprocesses 2 --dist loadfile tests/e2e || exit; done

test-containers: $(INSTALLED) ## docker-compose.yml on a real engine; status 77 where there is none, see docs/containers.md
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -m scripts.test_containers

# It makes its own environment, there. The release that the machine runs is tested by `make test`.
test-debian: ## `make test` on another Debian, RELEASE=trixie unless told, made by debootstrap; see docs/development.md
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m scripts.test_debian $(RELEASE) --command '$(COMMAND)'

bench: $(INSTALLED) ## how fast all of it is, beside Open vSwitch alone, OVN and Neutron, in under 12 minutes; see bench/README.md
	mkdir -p .run
	-$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -W ignore bench/neutron.py
	$(SUDO) env PYTHONDONTWRITEBYTECODE=1 $(VENV)/bin/python -W ignore bench/run.py --json .run/bench.json --plot .run/bench.svg

lint: $(INSTALLED) ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean: ## remove all that the other targets made
	$(SUDO) rm -rf .run
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

packages:
	@scripts/install-packages.sh $(PYTHON)

chromium: $(INSTALLED)
	@command -v chromium >/dev/null || { $(SUDO) apt-get update --quiet && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends chromium; }
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[page-test]'

# The packages are asked for at each run, since somebody may have removed them; the environment is made again when what
# it is made from has changed.
$(INSTALLED): pyproject.toml constraints.txt | packages
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@
