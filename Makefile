SHELL := bash
.DEFAULT_GOAL := help
.PHONY: .connections help setup demo up dry-run check-mappings diff worklists back-out migrate backup restore verify-audit sign-audit test attacks bench scale-out clean-machine docs pictures release lint lock sbom stack stack-faults clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: system packages, .venv, locked Python packages
	@scripts/setup.sh

demo: setup ## Build a synthetic PMO, run one whole dry run on it, print the readiness table; PU=off asks no person service
	@PU="$(PU)" scripts/demo.sh

up: setup ## Start Airflow with the dashboard, on demo data of 30 nights; FRESH=1 makes them again, PORT= sets the port, PU=off
	@FRESH="$(FRESH)" PORT="$(PORT)" PU="$(PU)" scripts/up.sh

dry-run: .connections setup ## Run the dry-run DAG on the environment's connections: make dry-run AS_OF=YYYY-MM-DD
	@AS_OF="$(AS_OF)" scripts/dry_run.sh

# Before setup: what is missing is said at once.
.connections:
	@AS_OF="$(AS_OF)" scripts/dry_run.sh check

check-mappings: setup ## Print every fault of the mapping files: make check-mappings [FOLDER=<folder>]
	@FOLDER="$(FOLDER)" scripts/check_mappings.sh

diff: setup ## Print how two batches of the same posts differ: make diff A=<batch> B=<batch> [POSTS=1]
	@A="$(A)" B="$(B)" POSTS="$(POSTS)" scripts/diff.sh

worklists: setup ## Write each unit's work list: make worklists [OUT=<folder>] [BATCH=<id>] [UNIT=<HSA-id>] [CSV=1] [ARCHIVE=1] [REPLACE=1]
	@OUT="$(OUT)" BATCH="$(BATCH)" UNIT="$(UNIT)" CSV="$(CSV)" ARCHIVE="$(ARCHIVE)" REPLACE="$(REPLACE)" scripts/worklists.sh

back-out: setup ## Write what must return of a batch that Millennium has loaded: make back-out BATCH=<id> OUT=<folder> [UNIT=<HSA-id>] [REPLACE=1]
	@BATCH="$(BATCH)" OUT="$(OUT)" UNIT="$(UNIT)" REPLACE="$(REPLACE)" scripts/back_out.sh

migrate: setup ## Bring the staging schema up to date, as the account that owns its tables
	@scripts/migrate.sh

backup: setup ## Back up the staging database and the files of its batches: make backup OUT=<new folder>
	@OUT="$(OUT)" scripts/backup.sh back-up

restore: setup ## Restore a backup into an empty staging database: make restore FROM=<folder>
	@FROM="$(FROM)" scripts/backup.sh restore

verify-audit: setup ## Check that no row of the audit trails, outcomes and receipts was changed: make verify-audit [KEY=<public key>]
	@KEY="$(KEY)" scripts/audit.sh verify

sign-audit: setup ## Sign the ends of the audit trails, outcomes and receipts as they are now
	@scripts/audit.sh sign

test: setup ## Lint, types, rings, then every test
	@scripts/test.sh

attacks: setup ## Attack the product at length and print what it withstood: make attacks [ATTACK=<name>]
	@ATTACK="$(ATTACK)" scripts/attacks.sh

bench: setup ## Measure the pipeline, compared with a raw read and a naive script: make bench [SIZES="100000 1000000"] [DATABASES=postgresql] [RUNS=3]; WHAT=persons asks the person service, WHAT=history runs many nights
	@SIZES="$(SIZES)" DATABASES="$(DATABASES)" WHAT="$(WHAT)" RUNS="$(RUNS)" NIGHTS="$(NIGHTS)" KEEP="$(KEEP)" scripts/bench.sh

scale-out: setup ## Compare the dry run on two Celery workers, one of them killed, with one machine: make scale-out [POSTS=20000] [PARTITION=5000] [KILL_IN=extract]
	@POSTS="$(POSTS)" PARTITION="$(PARTITION)" KILL_IN="$(KILL_IN)" scripts/scale_out.sh

clean-machine: ## Run a command in a fresh clone on a clean Debian, as root: make clean-machine [RELEASE=trixie] [COMMAND="make test"]
	@RELEASE="$(RELEASE)" COMMAND="$(COMMAND)" MIRROR="$(MIRROR)" scripts/clean_machine.sh

docs: setup ## Write the tables of docs/rules.md from the rules
	@scripts/docs.sh

pictures: setup ## Take the documents' pictures of the dashboard again, on new demo data
	@scripts/pictures.sh

release: ## Cut a release, without pushing it: make release VERSION=x.y.z [DATE=YYYY-MM-DD]
	@VERSION="$(VERSION)" DATE="$(DATE)" scripts/release.sh

lint: setup ## Style, types, rings, SQL, compose file
	@scripts/lint.sh

lock: setup ## Regenerate the three requirements files from pyproject.toml
	@scripts/lock.sh

sbom: setup ## List the packages that run, with licences, as CycloneDX: make sbom [OUT=<folder>] [AUDIT=1]
	@OUT="$(OUT)" AUDIT="$(AUDIT)" scripts/sbom.sh

stack: setup ## Build and start the compose stack with a synthetic PMO, release a wave over its API, take it down; KEEP=1 leaves it
	@KEEP="$(KEEP)" PORT="$(PORT)" scripts/stack.sh

stack-faults: setup ## The same, and then kill, cut off and restart its parts while dry runs load; FAULTS="kill-redis ..." for some alone
	@PORT="$(PORT)" scripts/stack.sh faults $(FAULTS)

clean: ## Remove the demo's data and the tools' caches; .venv stays
	@rm -rf .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
