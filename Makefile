# Every target does its own set-up: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3.11
BIN := .venv/bin
ARGS ?=
# What the images hold beyond the core.
SERVER_EXTRAS := --extra grpc --extra schemas --extra store --extra traces
TRAINER_EXTRAS := --extra keras --extra lake --extra schemas --extra drift

.DEFAULT_GOAL := help
.PHONY: apiserver cluster compose-parser images images-test help install demo test lint format simulate bench lock audit sbom clean soak kafka kafka-install moa-install

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed ## create .venv from the lock (hashes checked) and compile the kernel once

.venv/installed: requirements/lock.txt requirements/bootstrap.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "odl needs Python 3.11: install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || { echo "Creating .venv ..."; $(PYTHON) -m venv .venv; }
	@echo "Installing the locked packages (2 GB with TensorFlow; a minute or so) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/lock.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@echo "Compiling the kernel ..."
	@$(BIN)/python -m hedge_model.warm
	@touch $@

demo: install ## the main job on a real stream: flights, Redis, Kafka, two replicas (ARGS="--events 5000 --keep")
	@$(BIN)/odl demo $(ARGS)

test: lint ## lint, types and all tests (ARGS="-k log" to choose)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

lint: install ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install ## rewrite to the one format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

simulate: install ## replay one simulated run of the protocol with its trace (SEED=1)
	@$(BIN)/python tests/simulation/run.py --seed $(or $(SEED),1)

soak: install ## the fault scorecard at length; goes on where it was (ARGS="--minutes 30 --row R1 --seed 1")
	@$(BIN)/python tests/faults/soak.py $(ARGS)

kafka-install: install ## download Apache Kafka by Maven into .odl/kafka (43 MB), for the tests that run it
	@$(BIN)/python tests/faults/apache_kafka.py install

kafka: kafka-install ## run a real Apache Kafka broker until Ctrl-C
	@$(BIN)/python tests/faults/apache_kafka.py run

moa-install: ## download MOA by Maven into .odl/moa (12 MB), for benchmarks/quality.py --learners moa-arf moa-srp moa-samknn
	@command -v mvn >/dev/null || { echo "no Maven here: apt-get install maven"; exit 1; }
	@ls .odl/moa/moa-*.jar >/dev/null 2>&1 || mvn -q -B -f benchmarks/quality_parts/moa.xml \
		org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory=$(CURDIR)/.odl/moa
	@$(BIN)/python -c "import jpype" 2>/dev/null || echo "Python reaches it by JPype: $(BIN)/uv pip install jpype1"

bench: install ## print the benchmarks' ratios and write build/bench/*.json
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file --json build/bench/$$(basename $$file .py).json || exit 1; done

LOCK := $(BIN)/uv pip compile --override requirements/overrides.txt --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28

lock: install ## resolve pyproject.toml anew into requirements/*.txt
	@$(LOCK) pyproject.toml --all-extras --output-file requirements/lock.txt
	@$(LOCK) pyproject.toml --constraint requirements/lock.txt $(SERVER_EXTRAS) --output-file requirements/server.txt
	@$(LOCK) pyproject.toml --constraint requirements/lock.txt $(TRAINER_EXTRAS) --output-file requirements/trainer.txt
	@$(LOCK) requirements/scorer.in --constraint requirements/lock.txt --output-file requirements/scorer.txt

# Behind a proxy with a certificate of its own, builds see this machine's certificates.
CERTIFICATES := $(wildcard /etc/ssl/certs/ca-certificates.crt)
images: ## build the images by buildah (BASE=... for another base; without one, made from Debian's packages)
	@test -n "$(BASE)" || buildah inspect --type image localhost/odl-base:bookworm >/dev/null 2>&1 \
		|| k8s/images/base.sh localhost/odl-base:bookworm
	@mkdir -p build
	@for name in server trainer scorer; do \
		buildah bud --layers --isolation chroot $(foreach file,$(CERTIFICATES),--volume $(file):$(file):ro) \
			--build-arg BASE=$(or $(BASE),localhost/odl-base:bookworm) \
			--build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
			--build-arg REVISION=$$(git rev-parse --short HEAD) \
			--file k8s/images/$$name.Containerfile --tag localhost/odl-$$name . || exit 1; \
		container=$$(buildah from localhost/odl-$$name) \
			&& buildah run --isolation chroot $$container -- cat /opt/odl/sbom.json >build/odl-$$name.sbom.json \
			&& buildah rm $$container >/dev/null || exit 1; \
	done
	@buildah images | grep -E '/odl-(server|trainer|scorer) '; ls build/*.sbom.json

images-test: install ## build the images and run them as nobody on a read-only root (root; buildah; ODL_TEST_BASE_IMAGE=... for another base)
	@ODL_TEST_IMAGES=all $(BIN)/python -m pytest -n 0 tests/images $(ARGS)

cluster: install ## what k8s/overlays/plain runs, as processes with addresses of their own, under load (ARGS="--seconds 600")
	@rm -rf build/cluster && unshare $$([ $$(id -u) = 0 ] || echo --user --map-root-user) --net -- \
		$(BIN)/python tests/k8s/run_cluster.py build/cluster $(or $(ARGS),--seconds 120)

apiserver: ## build a Kubernetes API server and kubectl from source into .odl/apiserver (Go 1.22; minutes the first time), for tests
	@mkdir -p .odl/apiserver
	@cd tests/k8s/apiserver && version=$$(go list -m -f '{{.Version}}' k8s.io/kubernetes) && for name in kube-apiserver kubectl; do \
		CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$$version" \
			-o ../../../.odl/apiserver/$$name k8s.io/kubernetes/cmd/$$name || exit 1; \
	done
	@.odl/apiserver/kube-apiserver --version

compose-parser: ## build Docker Compose's own parser from source into .odl/compose (Go 1.23; seconds), for tests
	@mkdir -p .odl/compose
	@cd tests/k8s/compose_parser && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o ../../../.odl/compose/parser .

audit: install ## compare the lock with known advisories (ARGS=--online asks a service, too)
	@$(BIN)/python requirements/audit.py $(ARGS)

sbom: install ## write what is locked as a bill of materials: build/sbom.json (CycloneDX)
	@mkdir -p build
	@PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements requirements/lock.txt --pyproject pyproject.toml --output-reproducible -o build/sbom.json
	@echo "build/sbom.json"

clean: ## remove what the targets made, .venv too
	@rm -rf .venv .odl build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
