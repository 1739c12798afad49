# Everything that a person or a pipeline does with this checkout. `make` alone lists it.

# Which inventory, and the name of its lab on this machine: several labs can be up side by side.
SITE ?= lab
LAB ?= holdfast
# The lab's host to drill on.
SPARE ?= spare-b1
# For zone-cut: in, out or both.
WAY ?= both

# As typed, dollars and all.
override CMD := $(value CMD)
export CMD

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export HOLDFAST_LAB := $(LAB)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

lab := .venv/bin/python -m tests.lab
home := $(or $(HOLDFAST_LAB_HOME),.lab)/$(LAB)
mirror = ANSIBLE_LOCALHOST_WARNING=false .venv/bin/ansible-playbook -i /dev/null playbooks/mirror.yml -e '{"mirror_source": "$(FROM)", "mirror_names": "$(NAMES)"}'
play := .venv/bin/ansible-playbook -i inventories/$(SITE)

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^## /{printf "\n%s\n", substr($$0, 4)} /^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## A site on this machine (SITE=lab, an inventory; LAB=holdfast, its name here)

.PHONY: site lab lab-status ssh lab-down
site: lab ## the lab, and its whole site on it
	@$(play) playbooks/site.yml $(ARGS)
	@$(lab) tour

lab: venv ## only the lab: hosts that one can log in to
	@$(lab) up --site $(SITE)

lab-status: venv ## its hosts, zones and cuts
	@$(lab) status

ssh: venv ## log in to HOST=data-a1, or run CMD='...' there
	@$(lab) ssh '$(HOST)' $(if $(CMD),"$$CMD")

lab-down: venv ## remove the lab
	@$(lab) down

## What it does

.PHONY: check verify evidence
check: venv ## check mode of the site with the difference: what a run would change
	@$(play) playbooks/site.yml --check --diff $(ARGS)

verify: venv ## does every service work? read-only
	@$(play) playbooks/verify.yml $(ARGS)

.PHONY: backup
backup: venv ## a copy of SERVICE=postgresql now, in every store; without SERVICE of all
	@$(play) playbooks/backup.yml $(if $(SERVICE),--tags '$(SERVICE)') $(ARGS)

.PHONY: upgrade remove
upgrade: venv ## newest packages of SERVICE=postgresql, one member at a time, under guard
	@test -n '$(SERVICE)' || { echo "error: SERVICE=? name the service, such as postgresql" >&2; exit 1; }
	@$(play) playbooks/upgrade.yml --tags '$(SERVICE)' $(ARGS)

remove: venv ## take HOST=data-b1 out of its clusters, dead or alive; its data are kept
	@test -n '$(HOST)' || { echo "error: HOST=? name the host that leaves" >&2; exit 1; }
	@$(play) playbooks/remove.yml --tags '$(or $(SERVICE),never)' --extra-vars 'remove_host=$(HOST)' $(ARGS)

.PHONY: drain undrain
drain undrain: venv ## empty the nodes of ZONE=b, or HOST=application-b1, before work on them; undrain lets them have pods again
	@$(play) playbooks/drain.yml --extra-vars 'drain_zone=$(ZONE) drain_host=$(HOST) drain_state=$(if $(filter undrain,$@),released,drained)' $(ARGS)

evidence: venv ## the last operations, LAST=20, and whether their record can be trusted; read-only
	@$(play) playbooks/evidence.yml -e evidence_last=$(or $(LAST),20) $(ARGS)

## Artifacts: what the distribution does not package

# A checkout reaches package proxies at least; FROM=release takes the vendors' releases.
.PHONY: mirror mirror-list
mirror mirror-list: FROM ?= build
mirror: venv ## build or fetch (FROM=release) what is missing, once per machine; NAMES=etcd,pause for some
	@$(mirror) $(ARGS)

mirror-list: venv ## all that a site downloads: where from, version, checksum
	@$(mirror) -e mirror_state=listed $(ARGS)

## Secrets

.PHONY: secrets secrets-import secrets-move rotate rotate-status rotate-abort
secrets rotate-status: venv ## names, age, next rotation, and what is under way; never a value
	@$(play) playbooks/secrets.yml $(ARGS)

secrets-import: venv ## take values that are in use already from FILE=old.yml; what is there is replaced only when told so
	@$(play) playbooks/secrets_import.yml --extra-vars '{"secrets_import_file": "$(abspath $(FILE))"}' $(ARGS)

secrets-move: venv ## copy all secrets TO=kv or TO=files, and read them back; runs use what secrets_backend says
	@$(play) playbooks/secrets_move.yml --extra-vars 'secrets_move_to=$(TO)' $(ARGS)

rotate: venv ## a new value for SECRET=postgresql/app_rw, or DUE=1 for all that are due, without an outage; goes on where it stopped
	@$(play) playbooks/rotate.yml --extra-vars '{"rotate_secret": "$(SECRET)", "rotate_due": $(if $(DUE),true,false)}' $(ARGS)

rotate-abort: venv ## back to the old value of SECRET=postgresql/app_rw
	@$(play) playbooks/rotate.yml --extra-vars '{"rotate_secret": "$(SECRET)", "rotate_abort": true}' $(ARGS)

## When things went wrong

.PHONY: restore
restore: venv ## put back the state of a time, SERVICE=postgresql TO='2026-11-21 14:03:00+00:00'; without TO the newest
	@$(play) playbooks/restore.yml --tags '$(SERVICE)' $(if $(TO),--extra-vars '{"$(SERVICE)_restore_time": "$(TO)"}') $(ARGS)

# In a lab the spare is a new machine first; elsewhere the hosts of the pool `spare` are as they are.
.PHONY: drill
drill: venv ## restore the newest backup of SERVICE=postgresql (onto the spare) or kubernetes, prove it, and remove it
	@begin=$$(date +%s); if [ -f '$(home)/lab.json' ] && [ '$(SITE)' = lab ]; then \
		$(lab) renew '$(SPARE)' && $(play) playbooks/site.yml --tags base --limit '$(SPARE)' || exit 1; fi; \
	$(play) playbooks/drill.yml --tags '$(SERVICE)' -e $(SERVICE)_drill_begun=$$begin $(ARGS)

## Zones that fail (ZONE=b)

.PHONY: zone-cut zone-kill zone-heal
zone-cut: venv ## cut a zone off from the others; WAY=in or out for one direction
	@$(lab) zone-cut '$(ZONE)' --way '$(WAY)'

zone-kill: venv ## kill all its hosts at once; they stay down
	@$(lab) zone-kill '$(ZONE)'

zone-heal: venv ## connect it again, start its hosts
	@$(lab) zone-heal '$(ZONE)'

## Tests

.PHONY: test test-full lint unit sanity integration molecule chaos bench
ifdef SCENARIO
test: molecule
else
test: lint sanity unit ## the whole proof that a change needs; SCENARIO=x runs one Molecule scenario only
	@$(MAKE) integration LAB=test; status=$$?; $(MAKE) lab-down LAB=test && exit $$status
	@$(MAKE) molecule
endif

test-full: export HOLDFAST_TEST_FULL := 1
test-full: test ## and what takes longer: drills, upgrades, replacements, every fault; SCENARIO=x for one

lint: venv ## ansible-lint, yamllint, ruff, mypy
	ruff check .
	ruff format --check .
	mypy
	yamllint -s .
	ansible-lint --strict

unit: venv ## unit tests, on every ansible-core that this machine's Pythons allow; ARGS for pytest
	@for version in $$(tests/venv.sh pythons); do \
		if [ -z "$$venv" ]; then venv=.venv; else \
			venv=.cache/venvs/$$version; tests/venv.sh make $$venv unit $$version || exit 1; fi; \
		echo "unit tests on Python $$version, $$($$venv/bin/ansible --version | sed -n 1p)"; \
		$$venv/bin/python -m pytest -q -n auto $(or $(ARGS),tests/unit) || exit 1; \
	done

sanity: venv ## ansible-test sanity on an export of the checkout, without containers; ARGS names single tests
	@python -m tests.sanity $(ARGS)

integration: lab ## tests that need a lab: its hosts, networks and zones, for real; ARGS for pytest
	@.venv/bin/python -m pytest -q $(or $(ARGS),tests/integration)

molecule: export MOLECULE_GLOB := molecule/*/molecule.yml
molecule: export HOLDFAST_LAB := molecule
# One at a time: they share the lab `molecule`. Status 75 says that another run has it. Its state is its own: that of a
# run which was killed would let molecule take hosts for made that are gone.
molecule: scenarios = $(if $(SCENARIO),--scenario-name $(SCENARIO),--all $(if $(HOLDFAST_TEST_FULL),,--exclude kubernetes))
molecule: venv $(if $(filter kubernetes,$(SCENARIO)),mirror,$(if $(HOLDFAST_TEST_FULL),mirror)) ## Molecule scenarios, each on fresh hosts; SCENARIO=x for one
	@$(if $(SCENARIO)$(HOLDFAST_TEST_FULL),,echo 'SKIPPED scenario kubernetes: its programs take half an hour to build; make test SCENARIO=kubernetes' >&2;) \
		mkdir -p .cache; state=$$(mktemp -d); \
		HOLDFAST_FAILURES=$$state/failures MOLECULE_EPHEMERAL_DIRECTORY=$$state/molecule \
		flock --close --nonblock --conflict-exit-code 75 .cache/molecule.lock molecule test $(scenarios); \
		status=$$?; test ! -f $$state/failures || cat $$state/failures >&2; rm -r $$state; exit $$status

chaos: lab ## faults under load, judged by a ledger, on the site of LAB; SERVICE=postgresql, FAULT=zone-kill for one, SEED=7
	@.venv/bin/python -m tests.chaos --service '$(SERVICE)' $(if $(FAULT),--fault '$(FAULT)') $(if $(SEED),--seed '$(SEED)')

bench: site ## what a site costs when nothing changes, and the same work done with stock modules
	@python -m tests.bench.run --site $(SITE) $(ARGS)

## The checkout

.PHONY: venv clean
venv: ## the virtual environment that all of this runs in
	@tests/venv.sh make .venv dev

clean: ## remove the lab, and all that was downloaded or built for it
	@if [ -x .venv/bin/python ]; then $(lab) clean; fi
	rm -rf .venv .cache .ansible
