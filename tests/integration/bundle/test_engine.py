# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The transaction on a real host: what is applied, refused, removed, brought back; check mode is compared always."""

from __future__ import annotations

import pytest

from .conftest import TREE, Bundle, Host

A, B = f"{TREE}/a.conf", f"{TREE}/b.conf"


def changes(result: dict) -> dict[str, str]:
    return {entry["path"]: entry["change"] for entry in result["paths"]}


def no_leftovers(host: Host) -> None:
    assert host.run(f"find {TREE} -name '.holdfast*'; ls -A /var/lib/holdfast/bundles/test").split() in (
        ["current", "generations", "objects"],
        ["current", "generations", "objects", "pending.json"],
        ["generations", "objects", "outcome.json"],
        ["current", "generations", "objects", "outcome.json"],
        ["generations", "objects"],
    )


def test_applies_and_is_idempotent(bundle: Bundle, host: Host) -> None:
    files = {A: {"content": "a\n", "mode": 0o640, "group": "daemon"}, f"{TREE}/deep/down/x": b"\x00\xff"}
    first = bundle.apply(files, directories={f"{TREE}/d": {"mode": 0o700}})
    assert changes(first) == {f"{TREE}/d": "created", A: "created", f"{TREE}/deep/down/x": "created"}
    assert first["generation"] == 1
    tree = host.snapshot()
    assert tree[A][0] == "-rw-r-----"
    assert tree[f"{TREE}/d"][0] == "drwx------"
    assert tree[f"{TREE}/deep/down"][0] == "drwxr-xr-x"
    again = bundle.apply(files, directories={f"{TREE}/d": {"mode": 0o700}})
    assert not again["changed"]
    assert again["generation"] == 1
    assert host.run("stat -c %a /var/lib/holdfast/bundles /var/lib/holdfast/bundles/test").split() == ["700", "700"]
    no_leftovers(host)


def test_removes_what_is_not_declared_any_more(bundle: Bundle, host: Host) -> None:
    bundle.apply({A: "a", f"{TREE}/made/x": "x", f"{TREE}/shared/y": "y"}, directories={f"{TREE}/declared": {}})
    host.write(f"{TREE}/shared/of-others", "stays")
    result = bundle.apply({A: "a"})
    assert changes(result) == {f"{TREE}/made/x": "removed", f"{TREE}/shared/y": "removed"}
    assert set(host.snapshot()) == {A, f"{TREE}/shared", f"{TREE}/shared/of-others"}
    host.run(f"rm {TREE}/shared/of-others")
    assert bundle.apply({A: "a"})["changed"]
    assert set(host.snapshot()) == {A}
    assert changes(bundle.apply({})) == {A: "removed"}


def test_judges_the_whole_set(bundle: Bundle, host: Host) -> None:
    """A main file and what it includes are validated together, at their final paths, before anything is changed."""
    main, part = f"{TREE}/main.conf", f"{TREE}/part.d/x.nft"
    nft = [["nft", "-c", "-f", main]]
    include = f'include "{TREE}/part.d/*.nft"\n'
    table = "table inet holdfast_test {{\n  chain c {{\n    {rule}\n  }}\n}}\n"
    good = {main: include, part: table.format(rule="accept")}
    assert bundle.apply(good, validate=nft)["changed"]
    bad = {main: include, part: table.format(rule="bogus")}
    refused = bundle.apply(bad, validate=nft)
    assert f"`nft -c -f {main}` exited with 1" in refused["refused"]
    assert part in refused["refused"]
    assert not bundle.apply(good, validate=nft)["changed"]
    # removed files are gone, and new directories there, in what the validator sees
    seen = [["sh", "-c", f"test ! -e {part} && test -f {TREE}/new/y && test $(stat -c %a {TREE}/new/y) = 600"]]
    assert bundle.apply({main: "\n", f"{TREE}/new/y": {"content": "y", "mode": 0o600}}, validate=seen)["changed"]
    no_leftovers(host)


def test_all_failing_validators_are_named(bundle: Bundle) -> None:
    result = bundle.apply({A: "a"}, validate=[["sh", "-c", "echo one; exit 3"], ["true"], ["false"]])
    assert [failure["argv"][0] for failure in result["validation"]] == ["sh", "false"]
    assert "exited with 3:\none" in result["refused"]


def test_a_missing_validator_passes_in_check_mode_only(bundle: Bundle) -> None:
    asked = {"validate": [["no-such-program", A]]}
    real = bundle.apply({A: "a"}, check_first=False, **asked)
    assert "`no-such-program" in real["refused"]
    assert "is not installed" in real["refused"]


def test_a_validator_can_look_at_mounts_inside(bundle: Bundle, host: Host) -> None:
    host.run(f"mkdir {TREE}/mounted && mount -t tmpfs none {TREE}/mounted && echo seen > {TREE}/mounted/x")
    result = bundle.apply(
        {A: "a", f"{TREE}/mounted/y": "y"},
        validate=[["grep", "-q", "seen", f"{TREE}/mounted/x"], ["test", "-f", A], ["test", "-f", f"{TREE}/mounted/y"]],
    )
    assert result["changed"]
    assert host.run(f"grep -c {TREE}/mounted /proc/mounts").strip() == "1"


def test_validates_beneath_the_root_directory(bundle: Bundle, host: Host) -> None:
    try:
        result = bundle.apply(
            {"/holdfast-test-root/x": "x", A: "a"},
            validate=[["test", "-f", "/holdfast-test-root/x"], ["test", "-f", A], ["test", "-d", "/proc/self"]],
        )
        assert result["changed"]
        assert changes(bundle.apply({}))["/holdfast-test-root/x"] == "removed"
        assert host.run("ls -d /holdfast-test-root", check=False) == ""
    finally:
        host.run("rm -rf /holdfast-test-root")


def test_validates_without_overlay(bundle: Bundle, host: Host) -> None:
    """Where the kernel refuses an overlay (here: on two others), the directory is copied instead."""
    host.run(
        f"mkdir {TREE}/lower {TREE}/up {TREE}/o && mount -t tmpfs none {TREE}/up && mkdir {TREE}/up/u {TREE}/up/w &&"
        f"mount -t overlay -o lowerdir={TREE}/lower,upperdir={TREE}/up/u,workdir={TREE}/up/w none {TREE}/o &&"
        f"echo there > {TREE}/o/old && chown daemon {TREE}/o/old"
    )
    overlay_on_it = f"mount -t overlay -o lowerdir={TREE}/o,upperdir={TREE}/up/u,workdir={TREE}/up/w none /mnt"
    assert "wrong fs type" in host.run(f"{overlay_on_it} 2>&1", check=False), "the kernel would take an overlay here"
    x = f"{TREE}/o/x"
    checks = [["grep", "-q", "there", f"{TREE}/o/old"], ["sh", "-c", f"test $(stat -c %U {TREE}/o/old) = daemon"]]
    assert bundle.apply({x: "x"}, validate=[*checks, ["test", "-f", x]])["changed"]
    assert "exited" in bundle.apply({x: "y"}, validate=[["grep", "-q", "x", x]])["refused"]
    host.run(f"umount {TREE}/o")


def test_generations(bundle: Bundle, host: Host) -> None:
    unit = {"unit": "x.service", "effect": "reload"}
    for text in ("one", "two", "three"):
        bundle.apply({A: {"content": text, **unit}, f"{TREE}/{text}": text}, keep=2)
    host.run("rm /var/lib/holdfast/bundles/test/pending.json")
    assert host.run("ls /var/lib/holdfast/bundles/test/generations").split() == ["2.json", "3.json"]
    assert len(host.run("ls -A /var/lib/holdfast/bundles/test/objects").split()) == 2
    back = bundle.roll_back()
    assert (back["generation"], back["effects"]) == (2, {"x.service": "reload"})
    assert changes(back) == {A: "content", f"{TREE}/two": "created", f"{TREE}/three": "removed"}
    assert host.read(A) == "two"
    assert "has no generation before 2" in bundle.roll_back()["refused"]
    assert "generation 1 of bundle test is not kept; there are: 2, 3" in bundle.roll_back(1)["refused"]
    assert not bundle.roll_back(2)["changed"]
    assert bundle.roll_back(3)["generation"] == 3
    assert bundle.apply({A: "four"}, keep=2)["generation"] == 4


def test_a_damaged_store_is_not_brought_back(bundle: Bundle, host: Host) -> None:
    bundle.apply({A: "one"})
    bundle.apply({A: "two"})
    host.run("for f in /var/lib/holdfast/bundles/test/objects/*; do if grep -q one $f; then printf bad > $f; fi; done")
    assert "damaged" in bundle.roll_back()["refused"]
    assert host.read(A) == "two"


def test_a_link_in_the_way_is_replaced(bundle: Bundle, host: Host) -> None:
    host.write(f"{TREE}/elsewhere", "untouched")
    host.run(f"ln -s elsewhere {A}")
    assert changes(bundle.apply({A: "file now"})) == {A: "content"}
    assert host.read(f"{TREE}/elsewhere") == "untouched"
    assert host.snapshot()[A][0] == "-rw-r--r--"


def test_parents_may_be_links(bundle: Bundle, host: Host) -> None:
    host.run(f"mkdir {TREE}/real && ln -s real {TREE}/link")
    assert bundle.apply({f"{TREE}/link/x": "x"}, validate=[["test", "-f", f"{TREE}/real/x"]])["changed"]
    assert host.read(f"{TREE}/real/x") == "x"


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (f"mkdir {A}", f"{A} is a directory; the bundle wants a file there"),
        (f"mkfifo {A}", f"{A} is a special file; the bundle wants a file there"),
        (f"touch {TREE}/dir", f"{TREE}/dir has to be a directory, but there is a file in its way"),
        (f"ln -s nowhere {TREE}/dir", f"{TREE}/dir has to be a directory, but there is a symlink in its way"),
        (
            f"mkdir {TREE}/real; ln -s real {TREE}/d",
            f"{TREE}/d has to be a directory, but there is a symlink in its way",
        ),
    ],
)
def test_refuses_what_is_in_the_way(bundle: Bundle, host: Host, there: str, reason: str) -> None:
    host.run(there)
    result = bundle.apply({A: "a", B: "b", f"{TREE}/dir/x": "x"}, directories={f"{TREE}/d": {}})
    assert reason in result["refused"]


def test_changes_by_hand(bundle: Bundle, host: Host) -> None:
    files = {A: {"content": "a", "unit": "x.service", "effect": "restart"}, B: "b"}
    bundle.apply(files)
    host.run("rm /var/lib/holdfast/bundles/test/pending.json")
    host.run(f"echo edited > {A}; chmod 600 {B}; chown daemon:daemon {B}")
    drift = [{"path": A, "change": "content"}, {"path": B, "change": "mode,owner,group"}]
    refused = bundle.apply(files, on_drift="refuse")
    assert f"changed by hand since the last run: {A} (content), {B} (mode,owner,group)" in refused["refused"]
    assert refused["drift"] == drift
    undone = bundle.apply(files, on_drift="undo")
    assert undone["drift"] == drift
    assert undone["effects"] == {"x.service": "restart"}
    assert undone["generation"] == 1
    assert host.read(A) == "a"
    assert host.snapshot()[B][:3] == ["-rw-r--r--", 0, 0]
    host.run(f"rm {A}")
    assert changes(bundle.apply(files)) == {A: "created"}
    # an edit that the role has meanwhile as well is in nobody's way
    host.run(f"printf new > {A}")
    adopted = bundle.apply({**files, A: "new"}, on_drift="refuse")
    assert (adopted["changed"], adopted["generation"]) == (False, 2)


def test_two_bundles_cannot_own_one_path(bundle: Bundle, host: Host) -> None:
    bundle.apply({A: "a"}, directories={f"{TREE}/d": {"mode": 0o750}})
    other = Bundle(host, "test-other")
    assert f"{A} belongs to bundle test already; bundle test-other can't own it too" in other.apply({A: "x"})["refused"]
    assert "belongs to bundle test" in other.apply({}, directories={f"{TREE}/d": {"mode": 0o700}})["refused"]
    assert other.apply({B: "b"}, directories={f"{TREE}/d": {"mode": 0o750}})["changed"]


def test_unknown_accounts(bundle: Bundle, host: Host) -> None:
    files = {A: {"content": "a", "owner": "nosuchuser"}}
    refused = bundle.apply(files, check_first=False)
    assert f"{A}: owner nosuchuser does not exist on the host" in refused["refused"]
    # check mode alone lets it pass: the account may come with a package that is not installed yet
    checked = host.driver(
        "call",
        {
            "check": True,
            "request": {
                "name": "test",
                "op": "apply",
                "manifest": {
                    "files": {A: {"owner": "nosuchuser", "group": "0", "mode": 420, "unit": None, "effect": "none",
                                  "sha256": "0" * 64, "size": 1}},
                    "directories": {}, "validate": [], "keep": 5,
                },
            },
        },
    )  # fmt: skip
    assert changes(checked) == {A: "created"}


def test_effects_are_kept_until_they_are_carried_out(bundle: Bundle) -> None:
    one = {"unit": "one.service", "effect": "reload"}
    first = bundle.apply({A: {"content": "1", **one}, B: {"content": "1", "unit": "two.service", "effect": "restart"}})
    assert first["effects"] == {"one.service": "reload", "two.service": "restart"}
    assert first["effect"] == "restart"
    second = bundle.apply({A: {"content": "1", **one}})  # nothing was restarted in between
    assert second["effects"] == {"one.service": "reload", "two.service": "restart"}
    third = bundle.apply({A: {"content": "1", **one}})
    assert (third["changed"], third["effects"]) == (False, second["effects"])


def test_a_second_run_at_once_is_told_who_is_at_work(bundle: Bundle, host: Host) -> None:
    bundle.apply({A: "a"})
    lock = "/var/lib/holdfast/bundles/lock"
    host.run(f"flock {lock} sleep 3 > /dev/null 2>&1 & sleep 0.3")
    assert "bundle test, process" in bundle.apply({A: "b"}, check_first=False)["refused"]
    host.run(f"flock {lock} true")
    assert bundle.apply({A: "b"})["changed"]


# -- full and read-only disks ------------------------------------------------------------------------------------------
def test_a_full_disk_changes_nothing(bundle: Bundle, host: Host) -> None:
    host.run(f"mkdir {TREE}/small && mount -t tmpfs -o size=256k none {TREE}/small")
    small = f"{TREE}/small/x"
    bundle.apply({A: "a", small: "x" * 100_000})
    before = host.snapshot()
    result = bundle.apply({A: "b", small: "y" * 200_000}, check_first=False)
    assert f"{small}: No space left on device" in result["refused"]
    assert "byte for byte" in result["refused"]
    assert host.snapshot() == before
    no_leftovers(host)
    assert bundle.apply({A: "b", small: "y" * 100_000})["changed"]


def test_a_full_disk_under_the_state_changes_nothing(bundle: Bundle, host: Host) -> None:
    bundle.apply({A: "a"})
    state = "/var/lib/holdfast/bundles/test"
    kept = "/var/lib/holdfast/kept"
    host.run(f"mv {state} {kept}; mkdir {state}; mount -t tmpfs -o size=64k none {state}; cp -a {kept}/. {state}")
    try:
        before = host.snapshot()
        refused = bundle.apply({A: "b" * 100_000}, check_first=False)["refused"]
        assert f"{state}/objects: No space left on device" in refused
        assert host.snapshot() == before
        assert not bundle.apply({A: "a"})["changed"]
    finally:
        host.run(f"umount {state}; rm -r {state}; mv {kept} {state}")


def test_a_read_only_target_changes_nothing(bundle: Bundle, host: Host) -> None:
    host.run(f"mkdir {TREE}/ro && mount -t tmpfs none {TREE}/ro && mount -o remount,ro {TREE}/ro")
    bundle.apply({A: "a"})
    before = host.snapshot()
    result = bundle.apply({A: "b", f"{TREE}/ro/x": "x"}, check_first=False)
    assert f"{TREE}/ro/x: Read-only file system" in result["refused"]
    assert host.snapshot() == before
    no_leftovers(host)


def test_a_target_that_cannot_be_renamed_over_is_undone(bundle: Bundle, host: Host) -> None:
    """A file that is a mount point only fails in the middle of the swap."""
    bundle.apply({A: "a", B: "b"})
    host.run(f"touch {TREE}/z; mount --bind {TREE}/z {TREE}/z")
    before = host.snapshot()
    result = bundle.apply({A: "new", B: "new", f"{TREE}/new/dir": "n", f"{TREE}/z": "z"}, check_first=False)
    assert f"{TREE}/z: " in result["refused"]
    assert "byte for byte" in result["refused"]
    assert host.snapshot() == before
    no_leftovers(host)


# -- killed ------------------------------------------------------------------------------------------------------------
def test_killed_at_every_step(host: Host) -> None:
    """SIGKILL at each step of a transaction, then of its recovery: the old generation byte for byte, or the new one."""
    report = host.driver("kill_everywhere", {"tree": "/dev/shm/tree", "root": "/dev/shm/state"})
    assert report["wrong"] == []
    assert len(report["steps"]) > 25
    assert report["recoveries"] > 10


def test_killed_while_it_waits_for_confirmation(host: Host) -> None:
    report = host.driver("kill_confirmation", {"tree": "/dev/shm/tree", "root": "/dev/shm/state"})
    assert report["wrong"] == []
    assert {"arm the timer", "confirming begins", "activate true"} <= set(report["steps"])
    assert 0 < report["news"] < len(report["confirmation"])


def test_killed_on_the_way_back(host: Host) -> None:
    report = host.driver("kill_roll_back", {"tree": "/dev/shm/tree", "root": "/dev/shm/state"})
    assert report["wrong"] == []
    assert len(report["steps"]) > 15


def test_confirmation_and_timer_at_the_same_moment(host: Host) -> None:
    report = host.driver("race", {"tree": "/dev/shm/tree", "root": "/dev/shm/state", "rounds": 40})
    assert report["wrong"] == []
    assert report["confirmed"] + report["taken_back"] == 40


def test_a_polite_end_undoes_at_once(bundle: Bundle, host: Host) -> None:
    bundle.apply({A: "a"})
    before = host.snapshot()
    host.run(f"(sleep 1.5; pkill -TERM -f '^python3 {ENGINE_PATTERN}') > /dev/null 2>&1 &")
    result = bundle.apply({A: "b"}, validate=[["sleep", "20"]], check_first=False)
    assert "interrupted by SIGTERM" in result["refused"]
    assert host.snapshot() == before
    assert bundle.apply({A: "b"})["changed"]


ENGINE_PATTERN = "/var/lib/holdfast-test/driver.py call"
