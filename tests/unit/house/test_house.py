# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house's rules against this checkout, and each of them against something that breaks it."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from ansible_collections.holdfast.platform.plugins.plugin_utils import _catalogue
from tests.unit.house import rules

ROOT = Path(__file__).parents[3]
TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    if name and (ROOT / name).is_file() and not name.startswith(("collections/", "changelogs/changelog.yaml"))
]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir() and not path.name.startswith("_"))
YAML_WITH_TASKS = [
    path
    for path in TRACKED
    if path.suffix == ".yml"
    and (path.parent == ROOT / "playbooks" or "/tasks/" in str(path) or "/handlers/" in str(path))
]
PLUGINS = [
    path
    for path in TRACKED
    if path.parent.parent == ROOT / "plugins"
    and path.suffix == ".py"
    and not path.name.startswith("_")
    and path.parent.name in ("modules", "filter", "lookup", "test", "inventory", "callback")
]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


# This checkout


@pytest.mark.parametrize("role", ROLES, ids=name)
def test_roles_keep_the_contract(role: Path) -> None:
    assert rules.contract(role) == []


@pytest.mark.parametrize("role", ROLES, ids=name)
def test_roles_know_their_variables(role: Path) -> None:
    assert rules.variables(role, [other for other in ROLES if other != role]) == []


def test_descriptors_fit_their_schema() -> None:
    assert set(_catalogue.load().services) == {role.name for role in ROLES}


@pytest.mark.parametrize("playbook", ["site.yml", "verify.yml"])
def test_playbooks_run_services_in_the_order_of_the_catalogue(playbook: str) -> None:
    assert rules.order(ROOT / "playbooks" / playbook, _catalogue.load().order()) == []


@pytest.mark.parametrize("path", YAML_WITH_TASKS, ids=name)
def test_tasks_keep_the_style(path: Path) -> None:
    assert rules.task_style(path) == []


@pytest.mark.parametrize("path", PLUGINS, ids=name)
def test_plugins_are_documented(path: Path) -> None:
    assert rules.documented(path) == []


def test_every_action_has_the_module_that_documents_it() -> None:
    actions = {path.name for path in (ROOT / "plugins/action").glob("*.py")}
    assert actions <= {path.name for path in (ROOT / "plugins/modules").glob("*.py")}


def test_files_begin_as_they_should() -> None:
    files = [path for path in TRACKED if path.suffix in (".py", ".sh", ".yml", ".yaml") and path.stat().st_size]
    assert [complaint for path in files for complaint in rules.header(path)] == []


def test_what_is_installed_from_galaxy_is_what_the_roles_use() -> None:
    required = {entry["name"]: entry["version"] for entry in rules.load(ROOT / "requirements.yml")["collections"]}
    assert rules.load(ROOT / "galaxy.yml")["dependencies"] == required
    shipped = [path for path in TRACKED if path.suffix in (".yml", ".j2") and path.parts[len(ROOT.parts)] in SHIPPED]
    used = rules.collections_used([path.read_text(encoding="utf-8") for path in shipped])
    assert used - {"ansible.builtin", "holdfast.platform"} == set(required)


SHIPPED = ("roles", "playbooks")


def test_the_installed_collections_satisfy_what_is_required() -> None:
    required = {entry["name"]: entry["version"] for entry in rules.load(ROOT / "requirements.yml")["collections"]}
    if not required:
        return
    spec = find_spec("ansible_collections")
    places = [Path(place) for place in (spec.submodule_search_locations if spec else None) or []]
    for collection, version in required.items():
        manifests = [place / collection.replace(".", "/") / "MANIFEST.json" for place in places]
        manifest = next((path for path in manifests if path.is_file()), None)
        if manifest is None:
            pytest.skip("this environment has ansible-core alone, without the collections of PyPI's ansible")
        installed = json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]
        assert installed in SpecifierSet(version), f"{collection} {installed} is installed, {version} is required"


# What breaks the rules

GOOD_ROLE = {
    "meta/service.yml": "verbs: [main, verify]",
    "meta/argument_specs.yml": """
argument_specs:
  main:
    options:
      demo_port: {type: int, description: The port., default: 80}
  verify: {}
""",
    "defaults/main.yml": "demo_port: 80",
    "vars/main.yml": "__demo_unit: demo.service",
    "tasks/main.yml": """
- name: Run it
  holdfast.platform.member: {service: demo, units: ["{{ __demo_unit }}"], port: "{{ demo_port }}"}
  register: __demo_run
- name: Say so
  ansible.builtin.debug: {msg: "{{ __demo_run.changed }}"}
""",
    "tasks/verify.yml": "[]",
    "README.md": "# demo\n## Purpose\n## Inputs\n## Example\n## Idempotence and rollback\n",
}


def role(directory: Path, changes: dict[str, str | None], called: str = "demo") -> Path:
    """Write the good role with some of its files replaced, or left out (None)."""
    for relative, text in (GOOD_ROLE | changes).items():
        if text is not None:
            path = directory / called / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return directory / called


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, None),
        ({"meta/service.yml": None}, "service.yml: missing"),
        ({"tasks/verify.yml": None}, "verify.yml: missing"),
        ({"tasks/extra.yml": "[]"}, "extra.yml: not a verb"),
        ({"tasks/steps/extra.yml": "[]"}, None),
        ({"meta/argument_specs.yml": "argument_specs: {main: {options: {}}}"}, "entry points ['main']"),
        ({"defaults/main.yml": "demo_port: 80\ndemo_host: x"}, "demo_host of defaults/main.yml is missing"),
        ({"defaults/main.yml": "{}"}, "demo_port is not in defaults/main.yml"),
        ({"defaults/main.yml": "demo_port: 81"}, "says default 80"),
        ({"vars/main.yml": "unit: demo.service"}, "internals are __demo_x"),
        ({"README.md": None}, "README.md: missing"),
        ({"README.md": "## Purpose\n"}, "no section '## Example'"),
        ({"meta/main.yml": "dependencies: [other]"}, "no role calls another one"),
    ],
)
def test_the_contract_is_held(tmp_path: Path, changes: dict[str, str | None], complaint: str | None) -> None:
    complaints = rules.contract(role(tmp_path, changes))
    assert complaints == [] if complaint is None else any(complaint in line for line in complaints), complaints


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, None),
        ({"defaults/main.yml": "demo_port: 80\ndemo_host: x"}, "demo_host is not used"),
        ({"vars/main.yml": "__demo_unit: x\n__demo_dead: y"}, "__demo_dead is not used"),
        ({"templates/etc/demo.j2": "{{ __demo_typo }}"}, "__demo_typo is not set anywhere"),
        ({"templates/etc/demo.j2": "{% set __demo_here = 1 %}{{ __demo_here }}"}, None),
        ({"templates/etc/demo.j2": "{{ other_port }}"}, "other_port belongs to the role other"),
        ({"templates/etc/demo.j2": "# other_port in a comment"}, None),
    ],
)
def test_variables_are_held(tmp_path: Path, changes: dict[str, str | None], complaint: str | None) -> None:
    other = role(tmp_path, {"defaults/main.yml": "other_port: 1", "vars/main.yml": "{}"}, "other")
    complaints = rules.variables(role(tmp_path, changes), [other])
    assert complaints == [] if complaint is None else any(complaint in line for line in complaints), complaints


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- name: A\n  ansible.builtin.ping:\n  when: true\n", None),
        ("- name: A\n  ping:\n", "calls ping"),
        ("- name: A\n  ansible.builtin.ping:\n  ignore_errors: true\n", "ignores errors"),
        ("- name: A\n  ansible.builtin.shell: x\n", "uses a shell"),
        ("# a pipe\n- name: A\n  ansible.builtin.shell: x\n", None),
        ("- name: B\n  block:\n    - name: A\n      debug: {}\n", "calls debug"),
        ("- name: A\n  ansible.builtin.ping:\n  when: ansible_os_family == 'x'\n", "write ansible_facts"),
        ("- name: A\n  ansible.builtin.ping:\n  when: ansible_facts['os_family'] == 'x'\n", None),
        ("- hosts: all\n  roles: [short]\n", "role short"),
        ("- hosts: all\n  gather_facts: false\n  tasks:\n    - name: A\n      ping:\n", "calls ping"),
    ],
)
def test_the_style_of_tasks_is_held(tmp_path: Path, text: str, complaint: str | None) -> None:
    path = tmp_path / "main.yml"
    path.write_text(text, encoding="utf-8")
    complaints = rules.task_style(path)
    assert complaints == [] if complaint is None else any(complaint in line for line in complaints), complaints


@pytest.mark.parametrize(
    ("plays", "complaint"),
    [
        ([{"hosts": "a", "roles": ["x.y.a"]}, {"hosts": "b", "roles": ["x.y.b"]}], None),
        ([{"hosts": "b", "roles": ["x.y.b"]}, {"hosts": "a", "roles": ["x.y.a"]}], "the catalogue says ['a', 'b']"),
        ([{"hosts": "a", "roles": ["x.y.a"]}], "the catalogue says ['a', 'b']"),
        ([{"hosts": "all", "roles": ["x.y.a"]}, {"hosts": "b", "roles": ["x.y.b"]}], "its group is a"),
        ([{"hosts": "a", "roles": ["x.y.a", "x.y.b"]}], "each service has its own play"),
        (
            [
                {"hosts": "a", "tasks": [{"ansible.builtin.import_role": {"name": "x.y.a"}}]},
                {"hosts": "b", "roles": [{"role": "x.y.b"}]},
            ],
            None,
        ),
    ],
)
def test_the_order_of_plays_is_held(tmp_path: Path, plays: list[object], complaint: str | None) -> None:
    path = tmp_path / "site.yml"
    path.write_text(yaml.safe_dump(plays), encoding="utf-8")
    complaints = rules.order(path, ["a", "b"], "x.y")
    assert complaints == [] if complaint is None else any(complaint in line for line in complaints), complaints


DOCUMENTED = "DOCUMENTATION = 'short_description: x\\nversion_added: 1\\nauthor: y'\nEXAMPLES = 'z'\n"


@pytest.mark.parametrize(
    ("kind", "text", "complaint"),
    [
        ("callback", DOCUMENTED, None),
        ("filter", DOCUMENTED, "no RETURN"),
        ("modules", f"{DOCUMENTED}RETURN = 'x'\n", "no attributes"),
        ("callback", "", "no DOCUMENTATION"),
    ],
)
def test_documentation_is_held(tmp_path: Path, kind: str, text: str, complaint: str | None) -> None:
    path = tmp_path / kind / "x.py"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    complaints = rules.documented(path)
    assert complaints == [] if complaint is None else any(complaint in line for line in complaints), complaints


@pytest.mark.parametrize(
    ("called", "text", "good"),
    [
        ("a.yml", "---\na: 1\n", True),
        ("a.yml", "a: 1\n", False),
        ("a.py", "\n".join((*rules.HEADER, "from __future__ import annotations")), True),
        ("a.py", "\n".join(rules.HEADER), False),
        ("a.py", "print()", False),
        ("a.sh", "\n".join(("#!/bin/sh", *rules.HEADER)), True),
        ("a.sh", "#!/bin/sh", False),
    ],
)
def test_headers_are_held(tmp_path: Path, called: str, text: str, good: bool) -> None:
    path = tmp_path / called
    path.write_text(text, encoding="utf-8")
    assert (rules.header(path) == []) == good


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("- ansible.posix.mount:\n", {"ansible.posix"}),
        ("  community.general.ufw: {x: 1}\n", {"community.general"}),
        ("x: \"{{ lookup('a1.b1.c1', 'd') | e1.f1.g1 }}\"", {"a1.b1", "e1.f1"}),
        ("# ansible.posix.mount:\nserver: a.b.c\n", set()),
    ],
)
def test_used_collections_are_found(text: str, used: set[str]) -> None:
    assert rules.collections_used([text]) == used
