# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole way: a role's tree, ansible-playbook, SSH as an unprivileged user, the host."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import CHECKOUT, TREE, Host, Project

SECRET = f"correct-horse-{os.urandom(6).hex()}"

VENV = CHECKOUT / "tests" / "venv.sh"


def test_renders_and_applies(project: Project, host: Host) -> None:
    project.file(
        f"templates{TREE}/main.conf.j2",
        "# {{ ansible_managed }}\n{% import '_macros.j2' as m %}\n{{ m.line(word) }}\n"
        "{% if true %}\nyes\n{% endif %}\n",
    )
    project.file("templates/_macros.j2", "{% macro line(x) %}say {{ x }}{% endmacro %}\n")
    project.file(f"templates{TREE}/plain", "{{ word }}")
    project.file(f"files{TREE}/raw.j2", "{{ not a template }}\x00")
    project.file(f"templates{TREE}/left-out", "{{ undefined_but_left_out }}")
    options = {
        "defaults": {"unit": "x.service", "effect": "reload"},
        "files": {
            f"{TREE}/*.j2": {"mode": "0600", "unit": "y.service", "effect": "restart"},
            f"{TREE}/left-out": {"when": "{{ word == 'no' }}"},
            f"{TREE}/given": {"content": "{{ word }}!"},
            f"{TREE}/bytes": {"base64": "AAE="},
            f"{TREE}/again": {"template": f"{TREE[1:]}/plain"},
        },
    }
    checked = project.play("--check", "--diff", variables={"word": "hi"}, **options)
    assert host.snapshot() == {}
    run = project.play("--diff", variables={"word": "hi"}, **options)
    assert run.code == 0, run.output
    for key in ("changed", "paths", "effects", "effect", "diff", "drift", "round_trips"):
        assert checked.result[key] == run.result[key]
    assert run.result["effects"] == {"x.service": "reload", "y.service": "restart"}
    assert run.result["round_trips"] == 1
    assert host.read(f"{TREE}/main.conf") == "# Ansible managed\nsay hi\nyes\n"
    assert host.read(f"{TREE}/raw.j2") == "{{ not a template }}\x00"
    assert (host.read(f"{TREE}/again"), host.read(f"{TREE}/given"), host.read(f"{TREE}/bytes")) == (
        "hi",
        "hi!",
        "\0\x01",
    )
    assert host.run(f"ls {TREE}/left-out", check=False) == ""
    # one change, one file: the others stay the very same
    again = project.play(variables={"word": "hi"}, **options)
    assert (again.code, again.result["changed"]) == (0, False)


@pytest.mark.parametrize("line", ["{{ nope.value }}", "{% if %}", "{{ 'x' | no_such_filter }}"])
def test_a_broken_template_reaches_no_host(project: Project, host: Host, line: str) -> None:
    project.file(f"templates{TREE}/good", "fine\n")
    project.file(f"templates{TREE}/broken.j2", f"one\n{line}\n")
    run = project.play()
    assert run.code != 0
    assert f"templates{TREE}/broken.j2 for {TREE}/broken" in run.result["msg"]
    assert "Nothing has been sent to the host" in run.result["msg"]
    assert host.snapshot() == {}


def test_wrong_settings_are_named(project: Project) -> None:
    project.file(f"templates{TREE}/good", "fine\n")
    run = project.play(files={f"{TREE}/god": {"mode": "0600"}})
    assert f"did you mean {TREE}/good?" in run.result["msg"]


def other_pythons() -> list[str]:
    """Versions of Python on this machine besides the one that runs this; each has another ansible-core."""
    listed = subprocess.run([VENV, "pythons"], check=True, capture_output=True, text=True).stdout.split()
    return [version for version in listed if version != f"{sys.version_info.major}.{sys.version_info.minor}"]


def test_same_bytes_from_every_core(project: Project, host: Host) -> None:
    """What one ansible-core has applied, another finds unchanged."""
    cores = []
    for version in other_pythons():
        directory = CHECKOUT / ".cache" / "venvs" / version
        subprocess.run([VENV, "make", directory, "unit", version], check=True, capture_output=True)
        cores.append(directory / "bin")
    if not cores:
        pytest.skip("this machine has one Python only, and so one ansible-core")
    project.file(
        f"templates{TREE}/t.j2",
        "{% for key, value in mapping | dictsort %}\n{{ key }} = {{ value }} {{ value | to_json }}\n{% endfor %}\n"
        "{{ mapping | to_nice_yaml }}{{ 1.50 }} {{ true }} {{ none }} {{ [1, 'a'] }}\n",
    )
    mapping = {"a": True, "b": None, "c": [1, "two"], "d": {"e": 1.5}, "umlaut": "\u00fc"}
    assert project.play(variables={"mapping": mapping}).result["changed"]
    for core in cores:
        run = project.play(executable=core / "ansible-playbook", variables={"mapping": mapping})
        assert (run.code, run.result.get("changed")) == (0, False), f"{core}: {run.output}"


def test_secrets_show_nowhere(project: Project, host: Host) -> None:
    """Neither in the diff, nor in the most talkative output, nor in what a validator prints, nor on the host."""
    project.file(f"templates{TREE}/secret.conf.j2", "user = app\npassword = {{ password }}\n")
    options = {
        "files": {f"{TREE}/secret.conf": {"mode": "0640"}, f"{TREE}/inline": {"content": SECRET, "mode": "0600"}},
        "validate": [["sh", "-c", f"! grep -H . {TREE}/secret.conf >&2 || grep -q {SECRET[:7]} {TREE}/secret.conf"]],
    }
    for arguments in (["--check", "--diff", "-vvvv"], ["--diff", "-vvvv"]):
        run = project.play(*arguments, variables={"password": SECRET}, **options)
        assert run.code == 0, run.output
        assert SECRET not in run.output
        assert f"{TREE}/secret.conf: content created, not shown" in run.output
    assert host.read(f"{TREE}/secret.conf") == f"user = app\npassword = {SECRET}\n"
    options["validate"] = [["sh", "-c", f"echo bad line: $(tail -1 {TREE}/secret.conf); exit 1"]]
    run = project.play("--diff", "-vvvv", variables={"password": f"{SECRET}-2"}, **options)
    assert run.code != 0
    assert "bad line: ********" in run.result["msg"]
    assert SECRET not in run.output
    # the pattern comes over stdin: sudo logs its command line
    logged = host.run("cat > /dev/shm/p; journalctl --no-pager -q | grep -c -f /dev/shm/p; true", SECRET.encode())
    assert logged.split() == ["0"]
    assert host.run("grep -rlf /dev/shm/p /tmp /var/tmp /var/log /run /home; rm /dev/shm/p") == ""


def test_five_hundred_files(project: Project, host: Host) -> None:
    for number in range(500):
        text = f"# {number}\n" + "".join(f"key_{line} = {{{{ value }}}}\n" for line in range(20))
        project.file(f"templates{TREE}/d{number % 10}/f{number}.conf.j2", text)
    started = time.monotonic()
    first = project.play(variables={"value": 1})
    assert (first.code, len(first.result.get("paths", []))) == (0, 500), first.output
    again = project.play(variables={"value": 1})
    assert (again.result["changed"], again.result["round_trips"]) == (False, 1)
    assert host.run(f"find {TREE} -type f | wc -l").strip() == "500"
    assert time.monotonic() - started < 60


def test_large_and_binary_files_are_sent_once(project: Project, host: Host) -> None:
    big = os.urandom(1024 * 1024) * 64
    project.file(f"files{TREE}/big.bin", big)
    project.file(f"files{TREE}/small.bin", bytes(range(256)))
    checked = project.play("--check", "--diff")
    first = project.play("--diff")
    assert first.code == 0, first.output
    assert checked.result["paths"] == first.result["paths"]
    assert {entry["prepared"] for entry in first.result["diff"]} == {
        f"{TREE}/big.bin: content created, not shown (too large)\n",
        f"{TREE}/small.bin: content created, not shown (binary)\n",
    }
    assert first.result["round_trips"] == 3
    assert (
        host.run(f"sha256sum < {TREE}/big.bin").split()[0]
        == subprocess.run(["sha256sum"], input=big, capture_output=True, check=True).stdout.decode().split()[0]
    )
    again = project.play()
    assert (again.result["changed"], again.result["round_trips"]) == (False, 1)
    host.run(f"rm {TREE}/big.bin")
    undone = project.play()  # the host still has the bytes
    assert (undone.result["changed"], undone.result["round_trips"]) == (True, 1)
    assert host.run("ls /home/deploy/.ansible/tmp /tmp | grep -c ansible-tmp; true").strip() == "0"


def test_more_than_fits_in_one_call(project: Project, host: Host) -> None:
    """A set too large for one call, of which the host lacks little: that little goes along with the second."""
    for number in range(40):
        project.file(f"files{TREE}/f{number}", os.urandom(50_000))
    assert project.play().result["round_trips"] == 3
    project.file(f"files{TREE}/f1", b"changed")
    run = project.play()
    assert (run.result["paths"], run.result["round_trips"]) == ([{"path": f"{TREE}/f1", "change": "content"}], 2)


def test_the_module_is_killed(project: Project, host: Host) -> None:
    """kill -9 of the real module; the next run of the play recovers and applies."""
    project.file(f"templates{TREE}/a.conf", "{{ word }}\n")
    assert project.play(variables={"word": "old"}).code == 0
    before = host.snapshot()
    host.run(
        "(sleep 3; pkill -KILL -f '[s]leep 27'; pkill -KILL -f '[A]nsiballZ_bundle|[e]xec_module') >/dev/null 2>&1 &"
    )
    killed = project.play(variables={"word": "new"}, validate=[["sleep", "27"]])
    assert killed.code != 0
    assert host.snapshot() == before
    assert project.play(variables={"word": "new"}).result["changed"]


def test_goes_back(project: Project, host: Host) -> None:
    for word in ("one", "two"):
        project.file(f"files{TREE}/a.conf", word)
        assert project.play(defaults={"unit": "x.service"}).code == 0
    checked = project.play("--check", "--diff", state="rolled_back")
    back = project.play("--diff", state="rolled_back")
    assert checked.result["diff"] == back.result["diff"]
    assert (back.result["generation"], back.result["effects"]) == (1, {"x.service": "restart"})
    assert host.read(f"{TREE}/a.conf") == "one"


def test_needs_root_and_a_name(project: Project, host: Host) -> None:
    project.file(f"files{TREE}/a.conf", "a")
    assert "run the task with become: true" in project.play("-e", "ansible_become=false").result["msg"]
    assert "name is 'No Good'" in project.play(name="No Good").result["msg"]


def test_the_role_can_be_elsewhere(project: Project, host: Host, tmp_path: Path) -> None:
    root = tmp_path / "elsewhere"
    (root / f"templates{TREE}").mkdir(parents=True)
    (root / "templates" / "_part").write_text("part")
    (root / f"templates{TREE}/x").write_text("{% include '_part' %}")
    assert project.play(root=str(root)).result["changed"]
    assert host.read(f"{TREE}/x") == "part"
