# Stele: every target has a help line; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

NAME ?= dev
CLUSTER_DIR := $(CURDIR)/.cluster
# One that is set in the environment counts before NAME.
KUBECONFIG ?= $(CLUSTER_DIR)/$(NAME)/kubeconfig
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMG ?= stele.local/stele:$(VERSION)
# The image's name and tag. A colon before the last slash belongs to a port.
IMG_TAG = $(lastword $(subst :, ,$(notdir $(IMG))))
IMG_NAME = $(patsubst %:$(IMG_TAG),%,$(IMG))
# What is installed: config/default, or a kustomization with it, such as config/default-webhook.
CONFIG ?= config/default
PLATFORMS ?= linux/$(shell go env GOARCH)
PUSH ?= false

KO = go tool -modfile=$(CURDIR)/hack/tools/ko/go.mod ko
LINTER = go tool -modfile=$(CURDIR)/hack/tools/golangci-lint/go.mod golangci-lint
TOOL = go tool -modfile=$(CURDIR)/hack/tools/go.mod
CONTROLPLANE = go run -C hack/controlplane .
# Tests that need a real API server find one here; it is built on first use.
ASSETS = $$($(CONTROLPLANE) assets)

##@ Start here

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z0-9_-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Tell the main story on an embedded cluster, with a real Git server.
	go run ./hack/demo --operator bin/stele --plugin bin/kubectl-stele

.PHONY: demo-down
demo-down: ## Stop everything that the demo left running.
	go run ./hack/demo down

.PHONY: test
test: test-unit test-env test-e2e test-deploy ## Run every test: unit, real API server, embedded cluster, installation.

##@ Build

.PHONY: generate
generate: ## Generate deepcopy code.
	$(TOOL) controller-gen object:headerFile=hack/boilerplate/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Generate CRDs and RBAC from markers.
	$(TOOL) controller-gen crd paths=./api/... output:crd:dir=config/crd/bases
	$(TOOL) controller-gen rbac:roleName=stele paths=./controllers/... output:rbac:dir=config/rbac

.PHONY: build
build: bin/stele bin/kubectl-stele ## Build the operator and the plugin of kubectl.

.PHONY: bin/stele
bin/stele:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/stele .

.PHONY: bin/kubectl-stele
bin/kubectl-stele:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/kubectl-stele ./cmd/kubectl-stele

.PHONY: plugin-archives
plugin-archives: ## Build the plugin for every platform, and the manifest for krew: dist/plugin. PLUGIN_URI: where the archives will be.
	go run ./hack/krew --version '$(VERSION)' --uri '$(PLUGIN_URI)' --out dist/plugin

.PHONY: image
image: ## Build the container image with ko: an OCI layout in dist/image. No Docker, no registry; PUSH=true pushes it to IMG.
	@rm -rf dist/image && mkdir -p dist
	@base=$$(go run -C hack/tools/ko ./base --cache $(CURDIR)/dist/ko) && \
	KOCACHE=$(CURDIR)/dist/ko KO_DEFAULTBASEIMAGE=$$base KO_DOCKER_REPO=$(IMG_NAME) VERSION=$(VERSION) $(KO) build . --bare \
	  --tags=$(IMG_TAG) --platform=$(PLATFORMS) --push=$(PUSH) --oci-layout-path=dist/image --sbom-dir=dist/sbom

.PHONY: build-installer
build-installer: ## Write one YAML that installs everything: dist/install.yaml.
	mkdir -p dist
	go run ./hack/installer --image $(IMG) $(CONFIG) > dist/install.yaml

##@ Check

.PHONY: fmt
fmt: ## Format the code.
	gofmt -w $$(git ls-files '*.go')

.PHONY: vet
vet: ## Vet the code of every module.
	go vet ./...
	cd hack/controlplane && go vet ./...
	cd hack/tools/ko && go vet ./...

.PHONY: lint
lint: ## Lint the code.
	$(LINTER) run ./...

.PHONY: test-unit
test-unit: ## Run the tests that need no cluster, with the race detector.
	go test -race $$(go list ./... | grep -v -e /test/e2e -e /test/envtest -e /test/bench -e /test/hostile$$ -e /internal/ledger/evidence$$)
	go test ./internal/ledger/evidence # pure, and ten thousand mutations take their time

.PHONY: test-env
test-env: ## Run the tests against a real API server.
	KUBEBUILDER_ASSETS="$(ASSETS)" go test -count=1 -p 1 -timeout 15m ./test/envtest/...

.PHONY: test-e2e
test-e2e: bin/stele ## Run the tests on the embedded cluster.
	go test -count=1 -p 1 -timeout 25m -v ./test/e2e/... ./test/hostile ./test/bench/...

.PHONY: test-cluster
test-cluster: ## Test the embedded cluster itself.
	cd hack/controlplane && go test -count=1 ./...

.PHONY: test-deploy
test-deploy: ## Install config/default on an embedded cluster and run the operator with its service account's rights only.
	go test -count=1 -timeout 10m -tags deploy -v ./hack/installer/

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s).
	hack/fuzz.sh $${FUZZTIME:-10s}

.PHONY: bench
bench: bin/stele ## Measure every budget against a bare client in the same run; see docs/benchmarks.md.
	go run ./test/bench --operator bin/stele $(BENCH_ARGS)

.PHONY: verify
verify: ## Fail when generated files, formatting, modules or docs are stale.
	hack/verify.sh

.PHONY: presubmit
presubmit: vet test verify ## Exactly what CI runs.

##@ Run

.PHONY: cluster-up
cluster-up: ## Start an embedded cluster (NAME=dev); another one beside it: make cluster-up NAME=x.
	@$(CONTROLPLANE) up --name $(NAME) --dir $(CLUSTER_DIR)/$(NAME)

.PHONY: cluster-down
cluster-down: ## Stop an embedded cluster (NAME=dev) and remove its data; another one: make cluster-down NAME=x.
	@$(CONTROLPLANE) down --name $(NAME) --dir $(CLUSTER_DIR)/$(NAME)

.PHONY: cluster-status
cluster-status: ## Show the embedded clusters.
	@$(CONTROLPLANE) status --dir $(CLUSTER_DIR)

.PHONY: install
install: ## Install the CRDs: make install, NAME=x for an embedded cluster of that name, or KUBECONFIG=... for any other.
	@$(NEED_CLUSTER)
	KUBECONFIG=$(KUBECONFIG) $(KUBECTL) apply --server-side -k config/crd

.PHONY: uninstall
uninstall: ## Remove the CRDs; workloads stay.
	@$(NEED_CLUSTER)
	KUBECONFIG=$(KUBECONFIG) $(KUBECTL) delete --ignore-not-found -k config/crd

.PHONY: run
run: bin/stele ## Run the operator from source in the foreground (NAME, KUBECONFIG as above); RUN_ARGS: more flags, see docs/install.md.
	@$(NEED_CLUSTER)
	@# Each cluster has a log of its own, which it knows again.
	ledger=$(CLUSTER_DIR)/.ledger/$$(KUBECONFIG=$(KUBECONFIG) $(KUBECTL) get namespace kube-system -o jsonpath='{.metadata.uid}'); \
	KUBECONFIG=$(KUBECONFIG) bin/stele --namespace stele-system --create-namespace --log-encoding console --ledger-path "$$ledger" \
	  --metrics-addr 127.0.0.1:8080 --health-addr 127.0.0.1:9440 --allow-loopback $(RUN_ARGS)

.PHONY: deploy
deploy: ## Apply CONFIG (config/default) with IMG: make deploy IMG=registry/stele:tag KUBECONFIG=...
	@$(NEED_CLUSTER)
	go run ./hack/installer --image $(IMG) $(CONFIG) | KUBECONFIG=$(KUBECONFIG) $(KUBECTL) apply --server-side $(AS_INSTALLER) -f -

.PHONY: onboard
onboard: ## Let the operator work in a namespace, which is made if missing: make onboard NAMESPACE=shop (NAME, KUBECONFIG as above).
	@$(NEED_CLUSTER)
	@KUBECONFIG=$(KUBECONFIG) KUBECTL=$(KUBECTL) hack/namespace.sh onboard '$(NAMESPACE)'

.PHONY: offboard
offboard: ## Take a namespace without tracks back: make offboard NAMESPACE=shop (NAME, KUBECONFIG as above).
	@$(NEED_CLUSTER)
	@KUBECONFIG=$(KUBECONFIG) KUBECTL=$(KUBECTL) hack/namespace.sh offboard '$(NAMESPACE)'

.PHONY: undeploy
undeploy: ## Remove what deploy applied; workloads stay.
	@$(NEED_CLUSTER)
	@# The CRDs first: the operator must still be there to let go of tracks and releases.
	KUBECONFIG=$(KUBECONFIG) $(KUBECTL) delete --ignore-not-found --timeout 2m $(AS_INSTALLER) -k config/crd
	go run ./hack/installer --image $(IMG) $(CONFIG) | KUBECONFIG=$(KUBECONFIG) $(KUBECTL) delete --ignore-not-found $(AS_INSTALLER) -f -

.PHONY: clean
clean: ## Remove build results. Clusters are stopped with cluster-down.
	rm -rf bin dist cover.out

# kubectl of the embedded cluster that KUBECONFIG belongs to, of the one called NAME, else the one in PATH.
CLUSTER_KUBECTL = $(if $(wildcard $(dir $(KUBECONFIG))state.json),$(dir $(KUBECONFIG))bin/kubectl)
KUBECTL = $(firstword $(wildcard $(CLUSTER_KUBECTL) $(CLUSTER_DIR)/$(NAME)/bin/kubectl) kubectl)

# Who may install, change and remove the operator: config/admission/installation.yaml. Whoever may impersonate the group may do it.
AS_INSTALLER = --as=stele-installer --as-group=stele:installers --as-group=system:masters

# Ends a recipe that needs a cluster when there is no such kubeconfig. A list of files is left to who reads it.
NEED_CLUSTER = file=$(KUBECONFIG); [[ "$$file" == *:* || -e "$$file" ]] || \
  { echo "$$file: no such file; start a cluster with make cluster-up$(if $(filter-out dev,$(NAME)), NAME=$(NAME))" >&2; exit 1; }
