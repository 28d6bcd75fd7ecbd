# The one list of recipes. CI runs `make test` and nothing cleverer.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Tools that are slow to build live outside the checkout, so that a fresh clone finds them.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tunnelguard
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
# The image's tools, in the versions that the Dockerfile installs.
image_tool = $(CACHE)/$(1)-$(shell sed -n 's/.*--version \([0-9.]*\) $(1)\>.*/\1/p' Dockerfile)/bin/$(1)
CARGO_AUDITABLE := $(call image_tool,cargo-auditable)
AUDITABLE2CDX := $(call image_tool,auditable2cdx)
CONTROL_PLANE_SOURCE := tests/tools/control-plane
CONTROL_PLANE_KEY := $(shell cd $(CONTROL_PLANE_SOURCE) && cat go.mod go.sum *.go build.sh | git hash-object --stdin | cut -c1-12)
CONTROL_PLANE := $(CACHE)/control-plane-$(CONTROL_PLANE_KEY)$(if $(KUBEBUILDER_ASSETS),-assets)/control-plane
HELM_SOURCE := tests/tools/helm
HELM := $(CACHE)/helm-$(shell cd $(HELM_SOURCE) && cat go.mod go.sum build.sh | git hash-object --stdin | cut -c1-12)/helm
ALERTS_SOURCE := tests/tools/alerts
ALERTS := $(CACHE)/alerts-$(shell cd $(ALERTS_SOURCE) && cat go.mod go.sum *.go build.sh | git hash-object --stdin | cut -c1-12)/alerts
istiod = $(CACHE)/istiod-$(1)-$(shell cd tests/tools && cat istiod-$(1)/go.* istiod-$(1)/*.go build-istiod.sh | git hash-object --stdin | cut -c1-12)/pilot-discovery
ISTIOD_2024 := $(call istiod,2024)
ISTIOD_2026 := $(call istiod,2026)
ENVOY_REQUIREMENTS := tests/tools/envoy/requirements.txt
ENVOY_PACKAGE := $(CACHE)/envoy-$(shell git hash-object $(ENVOY_REQUIREMENTS) | cut -c1-12)
# Elsewhere nothing is built for it, and it says why it cannot run.
LAB_RUNS := $(shell [ "$$(uname)" = Linux ] && [ "$$(id -u)" = 0 ] && echo yes)
LAB_ISTIOD := $(or $(ISTIOD),$(ISTIOD_2026))
LAB_ISTIOD_OLDER := $(if $(ISTIOD),,$(ISTIOD_2024))
LAB_ENVOY := $(or $(ENVOY),$(ENVOY_PACKAGE)/envoy/_bin/envoy)

# Runs a stage and prints how long it took. Commands in it are parted by `;`: bash goes on after `a && b` where a
# fails.
define stage
	@start=$$SECONDS; echo "== $(1)"; $(2); echo "== $(1): $$((SECONDS - start)) s"
endef

.PHONY: help
help: ## Show the recipes
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The same random shapes every time, and no page written: `make fidelity` draws new ones and writes it.
test: export SEED ?= 1
test: export SHAPES ?= 50
test: export PAGE ?= keep
.PHONY: test
test: fmt-check lint docs deny unit e2e fidelity ## Run everything that CI runs

.PHONY: unit
unit: $(if $(LAB_RUNS),lab-tools) ## Run the tests
	$(call stage,tests,cargo test --locked)

.PHONY: e2e
e2e: $(CONTROL_PLANE) $(HELM) $(ALERTS) ## Run the tests against a real kube-apiserver; TESTS=NAME runs some
	$(call stage,end-to-end tests,CONTROL_PLANE=$(CONTROL_PLANE) HELM=$(HELM) ALERTS=$(ALERTS) cargo test --locked --test e2e -- $(TESTS))

.PHONY: chart
chart: ## Check the Helm chart: lint, many values, a whole install against a real kube-apiserver
	@$(MAKE) --no-print-directory e2e TESTS=chart::

.PHONY: fmt
fmt: ## Format the code
	cargo fmt

.PHONY: fmt-check
fmt-check: ## Check the format
	$(call stage,rustfmt,cargo fmt --check)

.PHONY: lint
# All targets are those that `cargo test` runs, so the others are named.
lint: ## Run clippy; warnings are errors
	$(call stage,clippy,cargo clippy --locked --all-targets -- -D warnings; cargo clippy --locked --test e2e --test demo --test fidelity -- -D warnings)

.PHONY: docs
docs: ## Build the API documentation; warnings are errors
	$(call stage,rustdoc,RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --document-private-items --quiet)

.PHONY: deny
deny: $(CARGO_DENY) ## Check licences and banned crates
	$(call stage,cargo-deny,$(CARGO_DENY) --log-level error check bans licenses sources)

$(CARGO_DENY):
	$(call stage,cargo-deny: building once,cargo install --quiet --locked --version $(CARGO_DENY_VERSION) --root $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny)

.PHONY: demo
demo: $(CONTROL_PLANE) ## Start a kube-apiserver with tunnelguard, show what it does, and leave it to play with
	@CONTROL_PLANE=$(CONTROL_PLANE) cargo test --quiet --locked --test demo

.PHONY: control-plane
control-plane: $(CONTROL_PLANE) ## Build a kube-apiserver with etcd for tests; print its path
	@echo $(CONTROL_PLANE)

$(CONTROL_PLANE):
	$(call stage,control-plane: building once,$(CONTROL_PLANE_SOURCE)/build.sh $(dir $(CONTROL_PLANE)))

.PHONY: helm
helm: $(HELM) ## Build Helm for tests; print its path
	@echo $(HELM)

$(HELM):
	$(call stage,Helm: building once,$(HELM_SOURCE)/build.sh $(dir $(HELM)))

$(ALERTS):
	$(call stage,alerts: building once,$(ALERTS_SOURCE)/build.sh $(dir $(ALERTS)))

.PHONY: istiod
istiod: $(ISTIOD_2024) $(ISTIOD_2026) ## Build both pinned istiods for tests; print their paths, the newer last
	@printf '%s\n' $^

$(ISTIOD_2024) $(ISTIOD_2026): $(CACHE)/istiod-%/pilot-discovery:
	$(call stage,istiod $*: building once,tests/tools/build-istiod.sh tests/tools/istiod-$(firstword $(subst -, ,$*)) $(@D))

.PHONY: fidelity
fidelity: $(if $(LAB_RUNS),lab-tools $(CONTROL_PLANE) $(LAB_ISTIOD_OLDER) $(LAB_ISTIOD) $(LAB_ENVOY)) ## Compare predictions with real istiod and Envoy, as root on Linux; TESTS=NAME runs some, SEED= and SHAPES= say which random ones, ISTIOD= and ENVOY= are your own
	$(call stage,fidelity,CONTROL_PLANE=$(CONTROL_PLANE) ISTIOD=$(LAB_ISTIOD) $(if $(LAB_ISTIOD_OLDER),ISTIOD_OLDER=$(LAB_ISTIOD_OLDER)) ENVOY=$(LAB_ENVOY) cargo test --locked --test fidelity -- $(TESTS))

.PHONY: demo-mesh
demo-mesh: $(if $(LAB_RUNS),lab-tools $(CONTROL_PLANE) $(LAB_ISTIOD) $(LAB_ENVOY)) ## Show it in a mesh, with a real istiod, Envoy and curl, and leave that to play with; as root on Linux
	@cargo test --quiet --locked --test fidelity --no-run
# Ctrl-C ends the demo, which then puts everything away; cargo waits for it.
	@trap '' INT; CONTROL_PLANE=$(CONTROL_PLANE) ISTIOD=$(LAB_ISTIOD) ENVOY=$(LAB_ENVOY) cargo test --quiet --locked --test fidelity -- --demo

.PHONY: lab-tools
lab-tools:
	@type ip iptables setpriv curl >/dev/null 2>&1 || ! type apt-get >/dev/null 2>&1 || { apt-get update --quiet=2 && apt-get install --quiet=2 --yes iproute2 iptables util-linux curl; }

$(ENVOY_PACKAGE)/envoy/_bin/envoy:
	$(call stage,Envoy: downloading once,tests/tools/envoy/install.sh $(ENVOY_PACKAGE))

image image-again: export PATH := $(dir $(CARGO_AUDITABLE)):$(dir $(AUDITABLE2CDX)):$(PATH)
image image-again: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)

.PHONY: image
# Not part of `make test`: optimizing takes more than ten minutes of processor time.
image: $(CARGO_AUDITABLE) $(AUDITABLE2CDX) lab-tools ## Build the image's files as the Dockerfile does, without a container engine, and run them as a Pod would; as root on Linux. ARCH=amd64 or arm64, PROFILE=dev is faster
	$(call stage,image,image/build.sh target/image-files; image/check.sh target/image-files)

.PHONY: image-again
image-again: image ## Build the image's files once more, elsewhere, and see whether they are the same bytes
	$(call stage,image again,image/again.sh target/image-files)

$(CARGO_AUDITABLE) $(AUDITABLE2CDX): $(CACHE)/%:
	$(call stage,$(@F): building once,cargo install --quiet --locked --version $(patsubst $(@F)-%,%,$(firstword $(subst /, ,$*))) --root $(CACHE)/$(firstword $(subst /, ,$*)) $(@F))

.PHONY: crd
crd: ## Write the CustomResourceDefinition anew, after an edit of src/policy/spec
	cargo run --quiet --locked -- crd > target/crd.yaml && mv target/crd.yaml manifests/chart/files/connectproxypolicy-crd.yaml

.PHONY: manifests
manifests: $(HELM) crd ## Write what is made from the chart anew, after an edit of it: install.yaml and the table of its values
	{ echo '# Written by `make manifests`, from manifests/chart. Kubernetes 1.31 or newer.'; $(HELM) template tunnelguard manifests/chart --namespace tunnelguard-system --set createNamespace=true; } > target/install.yaml && mv target/install.yaml manifests/install.yaml
	CHART=overwrite cargo test --quiet --locked --test it chart::the_readme

.PHONY: bench
bench: $(CONTROL_PLANE) ## Measure the decision core, the webhook, the index of workloads and a create; see docs/performance.md
	CONTROL_PLANE=$(CONTROL_PLANE) cargo bench --locked
