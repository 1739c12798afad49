# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a lab host, as root, beside a copy of the engine: calls it, kills it at every step, looks at what is left.

driver.py call < {"request", "contents": {hash: base64}, "check", "diff"}      -> the result, or {"refused", ...}
driver.py snapshot < {"tree"}                                                  -> {path: what it is}
driver.py kill_everywhere < {"tree", "root"}                                   -> {"steps": [...], "wrong": [...]}
driver.py race < {"tree", "root", "rounds"}                                    -> {"confirmed", "taken_back", "wrong"}
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import stat
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
# the copy beside this file, on the host
from engine import _bundle, _bundle_store, _bundle_watch  # type: ignore[import-not-found]  # noqa: E402
from engine import _bundle_wire as wire  # noqa: E402


def snapshot(tree: Path, *, identity: bool = True) -> dict:
    """What is in a tree: kind, mode, owner, bytes; with `identity` also time and inode of what is no directory."""
    found = {}
    for directory, directories, names in os.walk(tree):
        for name in sorted(directories + names):
            path = Path(directory, name)
            what = path.lstat()
            entry = [stat.filemode(what.st_mode), what.st_uid, what.st_gid]
            if path.is_symlink():
                entry.append(str(path.readlink()))
            elif path.is_file():
                entry.append(hashlib.sha256(path.read_bytes()).hexdigest())
                if identity:
                    entry += [what.st_mtime_ns, what.st_ino, what.st_nlink]
            found[str(path)] = entry
    return found


def call(question: dict) -> dict:
    contents = {}
    for text in question.get("contents", {}).values():
        content = wire.Content.of_bytes(base64.b64decode(text))
        contents[content.sha256] = content
    try:
        return _bundle.run(
            question["request"], contents, check=question.get("check", False), diff=question.get("diff", False)
        )
    except _bundle.Refused as refusal:
        return {"refused": str(refusal), **refusal.facts}
    except OSError as error:
        return {"refused": f"OSError: {error}"}


def ask(question: dict) -> dict:
    """Check mode, then the run; and what each of them has touched in the tree."""
    tree = Path(question["tree"])
    before = snapshot(tree)
    predicted = call({**question, "check": True})
    checked = snapshot(tree)
    real = call(question)
    return {
        "predicted": predicted,
        "real": real,
        "check_touched": checked != before,
        "run_touched": snapshot(tree) != before,
    }


# -- killing -----------------------------------------------------------------------------------------------------------
def text(data: str) -> dict:
    content = wire.Content.of_bytes(data.encode())
    return {"sha256": content.sha256, "size": content.size}


def want(data: str | None = None, mode: int = 0o644, owner: str = "root", effect: str = "reload") -> dict:
    sizes = {} if data is None else text(data)
    return {"owner": owner, "group": "root", "mode": mode, "unit": "x.service", "effect": effect, **sizes}


class Scene:
    """A bundle with one of everything: content, attributes, new and old directories, a link and a file in the way."""

    def __init__(self, tree: Path, root: Path):
        self.tree, self.root = tree, root
        self.store = _bundle_store.Store("scene", root)
        t = str(tree)
        self.old = {
            "files": {
                f"{t}/changed.conf": want("one\n"),
                f"{t}/pruned.conf": want("pruned\n", effect="restart"),
                f"{t}/attributes.conf": want("same\n"),
                f"{t}/old/deep/only.conf": want("only\n"),
            },
            "directories": {f"{t}/d": want(mode=0o755)},
            "validate": [],
            "keep": 3,
        }
        self.new = {
            "files": {
                f"{t}/changed.conf": want("two\n"),
                f"{t}/attributes.conf": want("same\n", mode=0o600, owner="daemon"),
                f"{t}/taken.conf": want("taken\n"),
                f"{t}/link.conf": want("no link any more\n"),
                f"{t}/new/deep/n.conf": want("n\n"),
            },
            "directories": {f"{t}/d": want(mode=0o700)},
            "validate": [["grep", "-q", "two", f"{t}/changed.conf"]],
            "keep": 3,
        }
        texts = ["one\n", "two\n", "pruned\n", "same\n", "only\n", "taken\n", "no link any more\n", "n\n"]
        self.contents = {content.sha256: content for content in (wire.Content.of_bytes(one.encode()) for one in texts)}

    def reset(self) -> None:
        """The old generation in force, its effects carried out, and things of others in the way."""
        shutil.rmtree(self.tree, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)
        self.tree.mkdir(parents=True)
        self.apply(self.old)
        self.store.write_pending({})
        (self.tree / "link.conf").symlink_to("/etc/hostname")
        taken = self.tree / "taken.conf"
        taken.write_text("somebody else's\n")
        os.link(taken, self.tree / "second-name")
        os.utime(taken, ns=(1_000_000_000, 1_000_000_000))
        os.setxattr(taken, "user.note", b"keep me")

    def apply(self, manifest: dict, *, check: bool = False, **more: object) -> dict:
        request = {"op": "apply", "name": "scene", "manifest": manifest, "on_drift": "undo", **more}
        return _bundle.run(request, self.contents, check=check, diff=False, root=self.root)


def in_child(action, kill_at: int | None = None) -> tuple[int, list[str]]:
    """Run in a process of its own that kills itself at a step; the wait status and the steps it announced."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        me, count = os.getpid(), 0

        def step(name: str) -> None:
            nonlocal count
            if os.getpid() != me:  # the validators' process
                return
            os.write(writer, name.encode() + b"\n")
            if count == kill_at:
                os.kill(me, signal.SIGKILL)
            count += 1

        _bundle_store._step = step
        try:
            action()
        except BaseException as error:
            os.write(writer, f"failed: {type(error).__name__}: {error}\n".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        steps = stream.read().splitlines()
    return os.waitpid(child, 0)[1], steps


def recover(scene: Scene) -> None:
    with _bundle_store.host_lock(scene.root, "scene"):
        _bundle.recover(scene.store, "test")


EFFECTS = {"x.service": "restart"}  # pruned.conf asks for it


def kill_everywhere(question: dict) -> dict:
    scene = Scene(Path(question["tree"]), Path(question["root"]))
    wrong: list[str] = []

    def expect(at: str, what: str, found: object, *wanted: object) -> None:
        if found not in wanted:
            wrong.append(f"{at}: {what}: {found!r} is not {wanted!r}")

    def stable(value: dict) -> dict:
        """Without inodes, times and link counts of files that are written anew on every reset."""
        return {path: entry[:4] for path, entry in value.items()}

    scene.reset()
    before = stable(snapshot(scene.tree))
    status, steps = in_child(lambda: scene.apply(scene.new))
    after = stable(snapshot(scene.tree))
    expect("no kill", "status", status, 0)
    expect("no kill", "leftovers", [path for path in after if ".holdfast" in path], [])
    in_force = steps.index("move current")

    for number, name in enumerate(steps):
        scene.reset()
        exact = snapshot(scene.tree)
        status, _ = in_child(lambda: scene.apply(scene.new), kill_at=number)
        expect(name, "killed", status, signal.SIGKILL)
        predicted = scene.apply(scene.new, check=True)
        recover(scene)
        found = snapshot(scene.tree)
        if number <= in_force:
            expect(name, "after recovery, byte for byte", found, exact)
            expect(name, "attributes of others", os.getxattr(scene.tree / "taken.conf", "user.note"), b"keep me")
        else:
            expect(name, "after recovery", stable(found), after)
        expect(name, "journal", scene.store.journal(), None)
        done = scene.apply(scene.new)
        for key in ("changed", "paths", "effects", "effect", "drift"):
            expect(name, f"check mode's {key}", predicted[key], done[key])
        expect(name, "effects", done["effects"], EFFECTS)
        expect(name, "in the end", stable(snapshot(scene.tree)), after)
        expect(name, "idempotence", scene.apply(scene.new)["changed"], False)

    # a recovery that is killed itself, at every step of it
    last = max(number for number, name in enumerate(steps) if number <= in_force)
    recoveries = 0
    number = 0
    while True:
        scene.reset()
        exact = snapshot(scene.tree)
        in_child(lambda: scene.apply(scene.new), kill_at=last)
        status, names = in_child(lambda: recover(scene), kill_at=number)
        if status == 0:
            break
        recoveries += 1
        recover(scene)
        expect(f"recovery, {names[-1]}", "byte for byte", snapshot(scene.tree), exact)
        expect(f"recovery, {names[-1]}", "journal", scene.store.journal(), None)
        number += 1
    expect("fixture", "before", stable(exact), before)
    return {"steps": steps, "recoveries": recoveries, "wrong": wrong}


# -- killing what has to be confirmed ----------------------------------------------------------------------------------
def kill_confirmation(question: dict) -> dict:
    """Kill a change that has to be confirmed, then its confirmation, at every step; the timer comes after that.

    The timer's verdict, the files and what the host says to a late confirmation have to agree.
    """
    scene = Scene(Path(question["tree"]), Path(question["root"]))
    _bundle_watch.arm = lambda *_: None  # the timer is called by hand
    sys.stdout, stdout = sys.stderr, sys.stdout
    wrong: list[str] = []

    def change() -> None:
        scene.apply(scene.new, txid="t", confirm_within=60, activate=[["true"]])

    def settle(at: str, exact: dict, *, must_be_old: bool) -> bool:
        _bundle.take_back("scene", "t", scene.root)
        old = snapshot(scene.tree) == exact
        try:
            says_new = bool(_bundle.confirm(scene.store, "t"))
        except _bundle.Refused as refusal:
            says_new = False
            if refusal.facts["rolled_back"] is not True:
                wrong.append(f"{at}: not said to be rolled back: {refusal}")
        if old == says_new or (must_be_old and not old) or scene.store.journal():
            wrong.append(f"{at}: old files {old}, host says confirmed {says_new}")
        if not old and scene.store.current() != 2:
            wrong.append(f"{at}: new files, generation {scene.store.current()}")
        return old

    def each_step(prepare, action, *, must_be_old: bool) -> tuple[list[str], int]:
        number = news = 0
        while True:
            scene.reset()
            exact = snapshot(scene.tree)
            prepare()
            status, names = in_child(action, kill_at=number)
            if status == 0:
                return names, news
            at = names[-1]
            news += not settle(at, exact, must_be_old=must_be_old)
            number += 1

    applied, _ = each_step(lambda: None, change, must_be_old=True)
    confirmed, news = each_step(change, lambda: _bundle.confirm(scene.store, "t"), must_be_old=False)
    sys.stdout = stdout
    return {"steps": applied, "confirmation": confirmed, "news": news, "wrong": wrong}


def kill_roll_back(question: dict) -> dict:
    """Kill the way back to an earlier generation at every step; then go back for good."""
    scene = Scene(Path(question["tree"]), Path(question["root"]))
    wrong: list[str] = []
    number = 0
    request = {"op": "roll_back", "name": "scene", "generation": 1}

    def back() -> None:
        _bundle.run(request, {}, check=False, diff=False, root=scene.root)

    while True:
        scene.reset()
        scene.apply(scene.new)
        exact = snapshot(scene.tree)
        status, names = in_child(back, kill_at=number)
        if status == 0:
            return {"steps": names, "wrong": wrong}
        recover(scene)
        in_force = scene.store.current()
        if (snapshot(scene.tree) == exact) != (in_force == 2) or scene.store.journal():
            wrong.append(f"{names[-1]}: generation {in_force}")
        back()
        if scene.store.current() != 1 or (scene.tree / "changed.conf").read_text() != "one\n":
            wrong.append(f"{names[-1]}: can't go back")
        if scene.store.numbers() != [1, 2]:
            wrong.append(f"{names[-1]}: generations {scene.store.numbers()}")
        number += 1


# -- the race between confirmation and timer ---------------------------------------------------------------------------
def race(question: dict) -> dict:
    """Confirm and take back at the same moment: exactly one of them may win, and both must know which."""
    scene = Scene(Path(question["tree"]), Path(question["root"]))
    _bundle_watch.arm = lambda *_: None  # the timer is the other child
    confirmed = taken_back = 0
    wrong = []
    for number in range(question["rounds"]):
        scene.reset()
        exact = snapshot(scene.tree)
        txid = f"race{number}"
        scene.apply(scene.new, txid=txid, confirm_within=60, activate=[])
        start = time.time() + 0.02

        def contender(action, start: float = start) -> int:
            child = os.fork()
            if not child:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                time.sleep(max(0.0, start - time.time()))
                try:
                    action()
                except _bundle.Refused:
                    os._exit(1)
                os._exit(0)
            return child

        actions = {
            "confirm": lambda txid=txid: _bundle.confirm(scene.store, txid),
            "take back": lambda txid=txid: _bundle.take_back("scene", txid, scene.root),
        }
        order = sorted(actions, reverse=bool(number % 2))
        children = {name: contender(actions[name]) for name in order}
        codes = {name: os.waitpid(child, 0)[1] for name, child in children.items()}
        won = codes["confirm"] == 0
        current = scene.store.current()
        same = snapshot(scene.tree) == exact
        confirmed += won
        taken_back += not won
        if codes["take back"] or won != (current == 2) or won == same or scene.store.journal():
            wrong.append(f"round {number}: confirmed={won}, generation {current}, old files {same}")
    return {"confirmed": confirmed, "taken_back": taken_back, "wrong": wrong}


if __name__ == "__main__":
    _bundle_store.LOCK_WAIT = 1.0
    actions = {
        "call": call,
        "ask": ask,
        "snapshot": lambda question: snapshot(Path(question["tree"]), identity=False),
        "kill_everywhere": kill_everywhere,
        "kill_confirmation": kill_confirmation,
        "kill_roll_back": kill_roll_back,
        "race": race,
    }
    json.dump(actions[sys.argv[1]](json.load(sys.stdin)), sys.stdout)
