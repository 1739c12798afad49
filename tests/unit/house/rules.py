# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house's rules as functions from files to complaints; an empty list means that all is well.

Each complaint names the file, what is wrong and what would be right. The rules are those of docs/architecture.md
(the service contract) and docs/development.md (style); ansible-lint, ruff and the sanity tests hold the others.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

SECTIONS = ("Purpose", "Inputs", "Example", "Idempotence and rollback")
HEADER = (
    "# Copyright: (c) 2026, Holdfast contributors",
    "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
)
# Keywords of a task or a block: https://docs.ansible.com/ansible/latest/reference_appendices/playbooks_keywords.html
KEYWORDS = frozenset(
    """
    action always any_errors_fatal args async become become_exe become_flags become_method become_user block
    changed_when check_mode collections connection debugger delay delegate_facts delegate_to diff environment
    failed_when ignore_errors ignore_unreachable listen local_action loop loop_control module_defaults name no_log
    notify poll port register remote_user rescue retries run_once tags throttle timeout until vars when
    """.split()
)
BLOCKS = ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers")
# Facts that `inject_facts_as_vars = false` takes away; the most common ones.
INJECTED = re.compile(
    r"(?<![\w'\"])ansible_(?:distribution\w*|os_family|default_ipv[46]|hostname|fqdn|nodename|memtotal_mb|processor\w*|"
    r"architecture|kernel|service_mgr|mounts|interfaces|all_ipv[46]_addresses|python_version|pkg_mgr)\b"
)


def load(path: Path) -> Any:
    """Read a YAML file; None when there is none."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None


# The service contract


def contract(role: Path) -> list[str]:
    """Check one service role: verbs, argument specification, defaults and README belong together."""
    descriptor = load(role / "meta/service.yml")
    if not isinstance(descriptor, dict):
        return [f"{role}/meta/service.yml: missing; every role is a service and has a descriptor"]
    complaints = []
    verbs = set(descriptor.get("verbs", []))
    files = {path.stem for path in (role / "tasks").glob("*.yml")}
    complaints += [f"{role}/tasks/{verb}.yml: missing; the descriptor lists the verb" for verb in sorted(verbs - files)]
    complaints += [
        f"{role}/tasks/{name}.yml: not a verb of the descriptor; steps of a verb belong into a directory below tasks/"
        for name in sorted(files - verbs)
    ]
    specs = (load(role / "meta/argument_specs.yml") or {}).get("argument_specs", {})
    complaints += [
        f"{role}/meta/argument_specs.yml: entry points {sorted(specs)}; the descriptor's verbs are {sorted(verbs)}"
        for _ in range(set(specs) != verbs)
    ]
    if "main" in specs:
        complaints += defaults(role, specs["main"].get("options") or {})
    complaints += readme(role)
    if (load(role / "meta/main.yml") or {}).get("dependencies"):
        complaints.append(f"{role}/meta/main.yml: dependencies; no role calls another one, the playbook orders them")
    return complaints


def defaults(role: Path, options: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Check that defaults/main.yml and the specification of `main` hold the same keys and the same values."""
    given = load(role / "defaults/main.yml") or {}
    internal = load(role / "vars/main.yml") or {}
    name, where = role.name, f"{role}/meta/argument_specs.yml"
    complaints = [f"{where}: {key} is not in defaults/main.yml" for key in sorted(set(options) - set(given))]
    complaints += [f"{where}: {key} of defaults/main.yml is missing" for key in sorted(set(given) - set(options))]
    for key, option in options.items():
        complaints += [f"{where}: {key} has no {part}" for part in ("type", "description") if part not in option]
        if "default" in option and key in given and option["default"] != given[key]:
            complaints.append(f"{where}: {key} says default {option['default']!r}, defaults/main.yml {given[key]!r}")
    complaints += [f"{role}/defaults/main.yml: {k}; inputs are {name}_x" for k in given if not k.startswith(f"{name}_")]
    complaints += [
        f"{role}/vars/main.yml: {k}; internals are __{name}_x" for k in internal if not k.startswith(f"__{name}_")
    ]
    return complaints


def readme(role: Path) -> list[str]:
    """Check that the role's README has the sections that a reader looks for."""
    path = role / "README.md"
    if not path.is_file():
        return [f"{path}: missing; it needs the sections {', '.join(SECTIONS)}"]
    text = path.read_text(encoding="utf-8")
    missing = [section for section in SECTIONS if not re.search(rf"^## {section}$", text, re.MULTILINE)]
    return [f"{path}: no section '## {section}'" for section in missing]


# Variables


def words(role: Path) -> dict[str, set[Path]]:
    """Collect the identifiers in a role's tasks, templates and variables, and where each stands.

    Comments and what follows a dot (a module, an attribute) don't count.
    """
    found: dict[str, set[Path]] = {}
    for part in ("tasks", "handlers", "templates", "vars", "defaults"):
        for path in sorted((role / part).rglob("*")):
            if path.is_file():
                for word in identifiers(path.read_text(encoding="utf-8")):
                    found.setdefault(word, set()).add(path)
    return found


def identifiers(text: str) -> set[str]:
    """Collect the words of a text that can be variables."""
    code = re.sub(r"(?m)(^|\s)#\s.*$|\{#.*?#\}", "", text)
    return set(re.findall(r"(?<![\w.\-/])[A-Za-z_]\w*(?![\w/-]*\.(?:yml|j2))", code))


def variables(role: Path, others: Sequence[Path]) -> list[str]:
    """Check a role's own variables, used and known alike, and that it reads none of another role."""
    used = words(role)
    given, internal = load(role / "defaults/main.yml") or {}, load(role / "vars/main.yml") or {}
    complaints = []
    for key, path in [(key, "defaults") for key in given] + [(key, "vars") for key in internal]:
        elsewhere = used.get(key, set()) - {role / path / "main.yml"}
        own = (role / path / "main.yml").read_text(encoding="utf-8")
        if not elsewhere and len(re.findall(rf"(?<!\w){key}(?!\w)", own)) < 2:
            complaints.append(f"{role}/{path}/main.yml: {key} is not used")
    known = set(given) | set(internal) | set(made(role))
    for word in sorted(used):
        if word.startswith(f"__{role.name}_") and word not in known:
            complaints.append(f"{sorted(used[word])[0]}: {word} is not set anywhere")
    for other in others:
        foreign = set(load(other / "defaults/main.yml") or {}) | set(load(other / "vars/main.yml") or {})
        complaints += [
            f"{sorted(used[word])[0]}: {word} belongs to the role {other.name}; take it as an own documented variable"
            for word in sorted(foreign & set(used))
        ]
    return complaints


def made(role: Path) -> Iterator[str]:
    """List the variables that a role's tasks set: registered, looped over, of a block or task, or facts."""
    for path in sorted((role / "tasks").rglob("*.yml")):
        for task in tasks(load(path) or []):
            yield from task.get("vars") or {}
            yield from task.get("ansible.builtin.set_fact") or {}
            registered = task.get("register")
            yield from [registered] if isinstance(registered, str) else registered or []
            yield from (task.get("loop_control") or {}).values()
    for path in sorted((role / "templates").rglob("*.j2")):
        yield from re.findall(r"{%-?\s*(?:set|for|macro)\s+(\w+)", path.read_text(encoding="utf-8"))


# Tasks


def tasks(entries: Any) -> Iterator[dict[str, Any]]:
    """List all tasks and blocks of a task file or of a playbook, those inside of others too."""
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            yield entry
            for part in BLOCKS:
                yield from tasks(entry.get(part))


def task_style(path: Path) -> list[str]:
    """Check a task file or a playbook: full names, no ignored errors, a reason for every shell, facts by name."""
    text = path.read_text(encoding="utf-8")
    complaints = [f"{path}: {match}; write ansible_facts['x']" for match in sorted(set(INJECTED.findall(text)))]
    for task in tasks(yaml.safe_load(text)):
        name = task.get("name", "a task without a name")
        if "ignore_errors" in task:
            complaints.append(f"{path}: '{name}' ignores errors; say with failed_when which one is tolerated")
        if "hosts" in task or "ansible.builtin.import_playbook" in task:
            roles = [role if isinstance(role, str) else role.get("role", "") for role in task.get("roles", [])]
            complaints += [f"{path}: role {role}; write its full name" for role in roles if role.count(".") < 2]
            continue
        for action in sorted(key for key in task if key not in KEYWORDS and not key.startswith("with_")):
            if action.count(".") < 2:
                complaints.append(f"{path}: '{name}' calls {action}; write its full name")
            if action == "ansible.builtin.shell" and not _commented(text, str(name)):
                complaints.append(f"{path}: '{name}' uses a shell; say why in a comment above it, or use command")
    return complaints


def _commented(text: str, name: str) -> bool:
    lines = text.splitlines()
    return any(
        name in line and lines[number - 1].strip().startswith("#") for number, line in enumerate(lines) if number
    )


# Playbooks


def order(path: Path, services: Sequence[str], collection: str = "holdfast.platform") -> list[str]:
    """Check that a playbook has one play for each service, on its group, in the catalogue's order."""
    found = []
    complaints = []
    for play in load(path):
        roles = [role for role in _roles(play) if role.startswith(f"{collection}.")]
        for role in roles:
            service = role.rpartition(".")[2]
            found.append(service)
            if play["hosts"] != service:
                complaints.append(f"{path}: the play of {service} is for hosts {play['hosts']}; its group is {service}")
        if len(roles) > 1:
            complaints.append(f"{path}: one play runs {', '.join(roles)}; each service has its own play")
    if found != list(services):
        complaints.append(f"{path}: services in the order {found}; the catalogue says {list(services)}")
    return complaints


def _roles(play: Mapping[str, Any]) -> list[str]:
    listed = [role if isinstance(role, str) else role["role"] for role in play.get("roles", [])]
    for task in tasks([play]):
        for action in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
            listed += [task[action]["name"]] if action in task else []
    return listed


# Plugins and files


def documented(path: Path) -> list[str]:
    """Check that a public plugin has documentation with author and version, examples, and what it returns."""
    texts = _constants(path)
    kind = path.parent.name
    wanted = ["DOCUMENTATION", "EXAMPLES"] + (["RETURN"] if kind in ("modules", "filter", "lookup", "test") else [])
    complaints = [f"{path}: no {name}" for name in wanted if not texts.get(name)]
    documentation = yaml.safe_load(texts.get("DOCUMENTATION") or "") or {}
    keys = ["short_description", "version_added", "author"] + (["attributes"] if kind == "modules" else [])
    complaints += [f"{path}: DOCUMENTATION has no {key}" for key in keys if key not in documentation]
    if kind == "modules":
        attributes = documentation.get("attributes") or {}
        missing = [key for key in ("check_mode", "diff_mode") if key not in attributes]
        fragments = documentation.get("extends_documentation_fragment")
        complaints += [f"{path}: attributes have no {key}" for key in missing if not fragments]
    return complaints


def _constants(path: Path) -> dict[str, str]:
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.targets[0], ast.Name)
        ):
            found[node.targets[0].id] = str(node.value.value)
    return found


def header(path: Path) -> list[str]:
    """Check how a file begins: programs with licence and copyright, YAML with its marker."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix in (".yml", ".yaml"):
        return [] if lines[:1] == ["---"] else [f"{path}: begins with {lines[:1]}; YAML begins with ---"]
    start = lines[1:] if lines[:1] and lines[0].startswith("#!") else lines
    if tuple(start[:3]) != HEADER:
        return [f"{path}: no licence header; the first lines are those of tests/unit/house/rules.py"]
    missing = path.suffix == ".py" and "from __future__ import annotations" not in lines
    return [f"{path}: no 'from __future__ import annotations'"] if missing else []


# Collections that the roles use


def collections_used(texts: Sequence[str]) -> set[str]:
    """Collect the collections whose modules or plugins are called by full name."""
    found = set()
    for text in texts:
        code = re.sub(r"(?m)(^|\s)#.*$", "", text)
        found |= set(
            re.findall(r"(?m)^\s*(?:- )?([a-z]\w+\.[a-z]\w+)\.[a-z]\w+:(?! *\d)(?:\s|$)", code)
        )  # a number: a sysctl key
        found |= set(re.findall(r"(?:lookup\(|query\(|\bq\()\s*['\"]([a-z]\w+\.[a-z]\w+)\.", code))
        found |= set(re.findall(r"\|\s*([a-z]\w+\.[a-z]\w+)\.[a-z]\w+", code))
    return found
