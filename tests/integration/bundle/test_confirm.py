# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A change that could lock the controller out: confirmed over a fresh connection, or taken back by the host itself."""

from __future__ import annotations

import base64
import hashlib
import time

from .conftest import TREE, Host, Project

RULES = f"{TREE}/rules.nft"
TIMER = "holdfast-bundle-test.timer"
# A table of its own, before the firewall's; loading it twice gives the same.
TABLE = """table inet holdfast_test
delete table inet holdfast_test
table inet holdfast_test {{
  chain input {{
    type filter hook input priority -10
    {rule}
  }}
}}
"""
NEW_ONLY = "tcp dport 22 ct state new drop"
OTHER = "tcp dport 9 drop"
EVERYTHING = "tcp dport 22 drop"
WITHIN = 10
SOON = 5  # where the change is meant to be taken back


def apply(project: Project, rule: str, *arguments: str, **options: object):
    project.file(f"files{RULES}", TABLE.format(rule=rule))
    settings = {"confirm_within": WITHIN, "activate": [["nft", "-f", RULES]], **options}
    return project.play("--timeout", "3", *arguments, **settings)


def no_trace(host: Host) -> None:
    assert host.run(
        f"systemctl is-active {TIMER}; ls /etc/systemd/system | grep holdfast-bundle-test; true"
    ).split() == ["inactive"]
    state = host.run("ls -A /var/lib/holdfast/bundles/test").split()
    assert not {"journal.json", "watch"} & set(state)


def test_confirmed(project: Project, host: Host) -> None:
    checked = apply(project, "accept", "--check")
    run = apply(project, "accept")
    assert run.code == 0, run.output
    assert (checked.result["paths"], checked.result["effects"]) == (run.result["paths"], run.result["effects"])
    assert run.result["generation"] == 1
    assert run.result["round_trips"] == 2
    assert "accept" in host.run("nft list table inet holdfast_test")
    no_trace(host)
    started = time.monotonic()
    again = apply(project, "accept")
    assert (again.result["changed"], again.result["round_trips"]) == (False, 1)
    assert time.monotonic() - started < WITHIN
    assert host.run(f"journalctl -q -u {TIMER} --since -5s | grep -c Started; true").strip() in ("0", "1")


def test_new_connections_are_cut(project: Project, host: Host) -> None:
    """The old connection lives on, as it does behind most firewalls: only a fresh one tells."""
    assert apply(project, "accept").code == 0
    before = host.snapshot()
    run = apply(project, NEW_ONLY, confirm_within=SOON)
    assert run.code != 0
    assert run.result["rolled_back"] is True
    assert run.result["changed"] is False
    assert "the host took the change back: nobody confirmed it in time" in run.result["msg"]
    assert host.snapshot() == before
    assert NEW_ONLY not in host.run("nft list table inet holdfast_test")
    no_trace(host)


def test_everything_is_cut(project: Project, host: Host) -> None:
    """Not even the answer of the first call comes through."""
    assert apply(project, "accept").code == 0
    before = host.snapshot()
    run = apply(project, EVERYTHING, confirm_within=SOON)
    assert run.code != 0
    assert run.result["rolled_back"] is True
    assert host.snapshot() == before
    no_trace(host)


def test_a_first_generation_is_taken_back_too(project: Project, host: Host) -> None:
    """There is no old file to activate: the command fails, and the files are gone all the same."""
    host.run("nft add table inet holdfast_test")
    rule_off = [["sh", "-c", f"if test -e {RULES}; then nft -f {RULES}; else nft flush table inet holdfast_test; fi"]]
    run = apply(project, NEW_ONLY, activate=rule_off, confirm_within=SOON)
    assert run.result["rolled_back"] is True
    assert host.snapshot() == {}
    no_trace(host)


def test_a_command_that_fails_takes_back_at_once(project: Project, host: Host) -> None:
    assert apply(project, "accept").code == 0
    before = host.snapshot()
    run = apply(project, "no such statement")
    assert run.code != 0
    assert f"`nft -f {RULES}` exited with 1" in run.result["msg"]
    assert "byte for byte" in run.result["msg"]
    assert host.snapshot() == before
    no_trace(host)


def test_the_controller_dies(project: Project, host: Host) -> None:
    """Nobody asks any more; the host's timer goes by itself, and puts the old rules into use again."""
    assert apply(project, "accept").code == 0
    answer = host.driver("call", unconfirmed(OTHER))
    assert answer["confirm"]["seconds"] == 5
    assert OTHER in host.run("nft list table inet holdfast_test")
    assert host.run(f"systemctl is-active {TIMER}").strip() == "active"
    wait_for(lambda: "accept" in host.run("nft list table inet holdfast_test"))
    wait_for(lambda: "journal.json" not in host.run("ls /var/lib/holdfast/bundles/test"))
    assert "accept" in host.read(RULES)
    late = host.driver("call", {"request": {"op": "confirm", "name": "test", "txid": "t1"}})
    assert late["rolled_back"] is True
    assert "nobody confirmed it in time" in late["refused"]
    no_trace(host)


def test_the_next_run_does_not_wait_for_the_timer(project: Project, host: Host) -> None:
    assert apply(project, "accept").code == 0
    host.driver("call", unconfirmed(OTHER, seconds=600))
    run = apply(project, "accept")
    assert run.code == 0
    assert run.result["recovered"] == "rolled back"
    assert run.result["changed"] is False
    assert "accept" in host.run("nft list table inet holdfast_test")
    no_trace(host)


def test_survives_a_reboot(project: Project, host: Host) -> None:
    """The host goes down while nobody has confirmed: the timer starts with it again."""
    assert apply(project, "accept").code == 0
    host.driver("call", unconfirmed(OTHER))
    boot = host.run("cat /proc/sys/kernel/random/boot_id")
    host.run("systemctl reboot", check=False)
    host.reconnect()
    assert host.run("cat /proc/sys/kernel/random/boot_id") != boot
    wait_for(lambda: "journal.json" not in host.run("ls /var/lib/holdfast/bundles/test"))
    assert "accept" in host.read(RULES)
    wait_for(lambda: host.run(f"systemctl is-active {TIMER}", check=False).strip() == "inactive")
    no_trace(host)


def unconfirmed(rule: str, seconds: int = 5) -> dict:
    """What the action would send, had it not died before it could confirm."""
    data = TABLE.format(rule=rule).encode()
    digest = hashlib.sha256(data).hexdigest()
    want = {"owner": "root", "group": "root", "mode": 0o644, "unit": None, "effect": "none"}
    return {
        "request": {
            "op": "apply",
            "name": "test",
            "txid": "t1",
            "confirm_within": seconds,
            "activate": [["nft", "-f", RULES]],
            "manifest": {
                "files": {RULES: {**want, "sha256": digest, "size": len(data)}},
                "directories": {},
                "validate": [],
                "keep": 5,
            },
        },
        "contents": {digest: base64.b64encode(data).decode()},
    }


def wait_for(condition, seconds: float = 40) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.5)
