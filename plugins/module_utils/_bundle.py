# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bundle engine: one configuration transaction on a managed host.

A transaction goes: recover what an interrupted one left, compare, validate in a private view, stage beside the
targets, make the journal durable, swap by renames, move `current`, note pending effects, remove the journal.

The journal's `phase` tells recovery what may have become visible:

    staging     nothing: staged files are swept away
    swapping    anything: every step is undone, unless `current` has already moved, then the rest is finished
    confirming  everything, but the controller has not confirmed it: undone, and `activate` is run again

`current` is the only word on which generation is in force. Whoever holds the host's lock and finds the journal decides
its fate; that is how a confirmation and the timer that fires at the same moment can't both win.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import _bundle_diff, _bundle_files, _bundle_plan, _bundle_sandbox, _bundle_store, _bundle_watch
from . import _bundle_wire as wire
from ._bundle_plan import Refused, State
from ._bundle_store import ROOT, Store, carried_out, clear_pending, read_pending

__all__ = ["Refused", "carried_out", "clear_pending", "read_pending", "run", "take_back"]

ACTIVATE_TIMEOUT = 120
# For the two that decide on a change that awaits confirmation: it may still be under way.
LONG_WAIT = 600
Result = dict[str, Any]


class Interrupted(BaseException):
    """The process was asked to end in the middle of a transaction."""


def run(
    request: Mapping[str, Any], contents: Mapping[str, wire.Content], *, check: bool, diff: bool, root: Path = ROOT
) -> Result:
    """Carry out one request of the controller; the result is the module's.

    request: {"op": "apply", "name", "manifest", "txid", "on_drift", "confirm_within", "activate"}
             {"op": "roll_back", "name", "generation" or None, ...}
             {"op": "confirm", "name", "txid", "cause"}: make a transaction final, or say that it was taken back
    contents: what travelled along, by hash. Raises Refused when nothing was changed or all was taken back, OSError.
    """
    if os.geteuid():
        raise Refused("a bundle is applied by root; run the task with become: true.")
    store = Store(request["name"], root)
    try:
        if request["op"] == "confirm":
            return confirm(store, request["txid"])
        with contextlib.ExitStack() as held:
            if not check:
                store.create()
            if root.is_dir():
                held.enter_context(_bundle_store.host_lock(root, store.name))
            with _signals():
                return _Transaction(store, request, contents, check=check, diff=diff).run()
    except Interrupted as interrupted:
        raise Refused(f"{interrupted}; what it left is tidied up by the next run of this bundle.") from interrupted


class _Transaction:
    """One apply or roll back. The host's lock is held."""

    def __init__(
        self,
        store: Store,
        request: Mapping[str, Any],
        contents: Mapping[str, wire.Content],
        *,
        check: bool,
        diff: bool,
    ):
        self.store, self.request, self.contents, self.check, self.diff = store, request, contents, check, diff
        self.txid = request.get("txid") or secrets.token_hex(6)
        self.result: Result = {}
        self.pending = store.pending()
        self.interrupted: list[dict[str, Any]] = []  # steps of a transaction that check mode may not undo
        self._recovered: dict[str, str] = {}
        self.on_disk: dict[str, str] = {}  # hash -> path that has it

    def run(self) -> Result:
        view = self._recover()
        manifest = self._manifest()
        self._check_owners(manifest)
        current = self.store.generation(self.store.current()) or {}
        made = self.store.standing()["made"]
        refuse = self.request.get("on_drift") == "refuse"
        plan = _bundle_plan.make_plan(manifest, current, made, view, refuse_drift=refuse)
        self._report(plan)
        self._note_contents(plan, manifest, view)
        missing = self._missing(plan, manifest)
        if missing:
            return {"changed": False, "missing": missing, **self._recovered}
        if self.diff:
            self.result["diff"] = self._diff(plan)
        if plan.steps and self.request["op"] == "apply":
            self._validate(plan.steps, manifest["validate"])
        if not self.check:
            self._commit(plan, manifest, current)
        return {**self.result, **self._recovered}

    # -- before --------------------------------------------------------------------------------------------------------
    def _recover(self) -> _bundle_files.Observer:
        """End an interrupted transaction. Check mode only works out how the host would look after that."""
        journal = self.store.journal()
        assumed: dict[str, State] = {}
        if journal and self.check:
            if _in_force(self.store, journal):
                self.pending = journal["effects"]
            elif journal["phase"] != "staging":
                self.interrupted = journal["steps"]
                assumed = {entry["path"]: entry["before"] for entry in journal["steps"]}
        elif journal:
            self._recovered["recovered"] = recover(self.store, "the next run came before it was finished")
            self.pending = self.store.pending()
        return _bundle_files.Observer(assumed)

    def _manifest(self) -> _bundle_plan.Manifest:
        """What is wanted, with accounts as numbers."""
        if self.request["op"] == "roll_back":
            return self._earlier()
        manifest: _bundle_plan.Manifest = dict(self.request["manifest"])
        for kind, type_ in (("files", "file"), ("directories", "dir")):
            manifest[kind] = {
                path: {**want, "type": type_, **self._accounts(path, want)} for path, want in manifest[kind].items()
            }
        return manifest

    def _accounts(self, path: str, want: Mapping[str, Any]) -> dict[str, int | None]:
        numbers: dict[str, int | None] = {}
        for key, number, look_up in (("owner", "uid", _uid), ("group", "gid", _gid)):
            name = str(want[key])
            found = int(name) if name.isdigit() else look_up(name)
            if found is None and not self.check:
                raise Refused(f"{path}: {key} {name} does not exist on the host; create it before the bundle.")
            numbers[number] = found
        return numbers

    def _earlier(self) -> _bundle_plan.Manifest:
        """The manifest of the generation to go back to."""
        current, kept = self.store.current(), self.store.numbers()
        number = self.request.get("generation")
        if number is None:
            number = max((one for one in kept if one < current), default=0)
            if not number:
                raise Refused(f"bundle {self.store.name} has no generation before {current} to go back to.")
        record = self.store.generation(number)
        if not record:
            listing = ", ".join(str(one) for one in kept) or "none"
            raise Refused(f"generation {number} of bundle {self.store.name} is not kept; there are: {listing}.")
        self.request = {**self.request, "generation": number}
        return record

    def _check_owners(self, manifest: _bundle_plan.Manifest) -> None:
        owned = _bundle_store.owned_by_others(self.store.root, self.store.name)
        for path, want in {**manifest["files"], **manifest["directories"]}.items():
            other = owned.get(path)
            if other and not (want["type"] == "dir" and not _bundle_plan.difference(want, other["state"])):
                raise Refused(
                    f"{path} belongs to bundle {other['bundle']} already; bundle {self.store.name} can't own it too. "
                    "Take it out of one of the two."
                )

    def _note_contents(
        self, plan: _bundle_plan.Plan, manifest: _bundle_plan.Manifest, view: _bundle_files.Observer
    ) -> None:
        """Remember which files in place have which content, so that none of it has to be sent."""
        for path in [step.path for step in plan.steps] + list(manifest["files"]):
            state = view.state(path)
            if state["type"] == "file":
                self.on_disk[state["sha256"]] = path

    def _missing(self, plan: _bundle_plan.Plan, manifest: _bundle_plan.Manifest) -> list[str]:
        """Hashes of contents that are needed and that neither came along nor are on the host."""
        wanted = {state["sha256"] for state in manifest["files"].values()}
        if self.request["op"] == "roll_back":
            if not all(self.store.is_intact(sha256) for sha256 in wanted):
                number = self.request["generation"]
                raise Refused(f"generation {number} can't be brought back: contents of it are lost or damaged.")
            return []
        if self.check:
            written = [step.after for step in plan.steps if step.action == "write"]
            if not manifest["validate"]:
                written = [state for state in written if self.diff and _bundle_diff.is_shown(state)]
            wanted = {state["sha256"] for state in written}
        return [sha256 for sha256 in sorted(wanted) if self._content(sha256) is None]

    def _content(self, sha256: str) -> wire.Content | None:
        """A content from what came along, the store, or a file that is in place already."""
        found = self.contents.get(sha256) or self.store.content(sha256)
        if found is None and sha256 in self.on_disk:
            path = Path(self.on_disk[sha256])
            found = wire.Content(sha256, path.stat().st_size, path=path)
        return found

    def _need(self, sha256: str) -> wire.Content:
        content = self._content(sha256)
        if content is None:
            raise Refused(f"content {sha256} is not on the host any more; run again.")
        return content

    def _validate(self, steps: list[_bundle_plan.Step], validators: Sequence[Sequence[str]]) -> None:
        """Check mode lets a validator pass that is not installed yet: the real run installs it before."""
        if self.check:
            validators = [argv for argv in validators if _bundle_sandbox.find_program(argv[0])]
        candidate = _bundle_sandbox.Candidate(steps, validators, self._need, self.interrupted)
        failures = _bundle_sandbox.validate(candidate) if validators else []
        if not failures:
            return
        secrets_ = [
            self._need(step.after["sha256"]).read()
            for step in steps
            if step.action == "write"
            and _bundle_diff.is_secret(step.after)
            and step.after["size"] <= _bundle_diff.LIMIT
        ]
        for failure in failures:
            failure["output"] = _bundle_diff.mask(failure["output"], secrets_)
        texts = [f"`{' '.join(one['argv'])}` {one['why']}:\n{one['output']}".rstrip(" :\n") for one in failures]
        raise Refused("validation failed, nothing has been changed. " + "\n".join(texts), validation=failures)

    # -- what the result says ------------------------------------------------------------------------------------------
    def _report(self, plan: _bundle_plan.Plan) -> None:
        effects = _bundle_plan.merge_effects(self.pending, plan.effects)
        self.result.update(
            changed=bool(plan.steps),
            paths=plan.changes,
            drift=plan.drift,
            effects=effects,
            effect=_bundle_plan.strongest(effects),
            generation=self.store.current(),
        )

    def _diff(self, plan: _bundle_plan.Plan) -> list[dict[str, str]]:
        entries: list[dict[str, str]] = []
        for step in plan.steps:
            if step.action in ("write", "remove", "attributes"):
                states = [state for state in (step.before, step.after) if _bundle_diff.is_shown(state)]
                texts = {state["sha256"]: self._need(state["sha256"]).read() for state in states}
                entries += _bundle_diff.show(step.path, step.before, step.after, texts)
        return entries

    # -- the transaction -----------------------------------------------------------------------------------------------
    def _commit(self, plan: _bundle_plan.Plan, manifest: _bundle_plan.Manifest, current: _bundle_plan.Manifest) -> None:
        store = self.store
        number = self._number(manifest, current)
        self.result["generation"] = number
        if not plan.steps and number == store.current():
            if manifest != current:
                store.write_generation(number, manifest)  # only what it says of effects or validators has changed
            return
        confirm_within = self.request.get("confirm_within") if plan.steps else None
        journal: dict[str, Any] = {
            "txid": self.txid,
            "phase": "staging",
            "generation": number,
            "new": number not in store.numbers(),
            "made": plan.made,
            "stages": _bundle_files.locate(plan.steps, self.txid),
            "emptied": [step.path for step in plan.steps if step.action == "rmdir"],
            "effects": self.result["effects"],
            "activate": self.request.get("activate") or [] if confirm_within else [],
            "keep": manifest["keep"],
            "steps": [],
            "result": {key: value for key, value in self.result.items() if key != "diff"},
        }
        store.write_journal(journal)
        try:
            self._stage(plan, manifest, journal)
            if confirm_within:
                _bundle_store._step("arm the timer")
                _bundle_watch.arm(store, self.txid, confirm_within)
            _bundle_files.swap(journal["steps"])
            if confirm_within:
                _advance(store, journal, "confirming")
                _activate(journal["activate"])
                self.result["confirm"] = {"txid": self.txid, "seconds": confirm_within}
                return
            finish(store, journal)
        except BaseException as error:
            if not _in_force(store, journal):
                _abandon(store, error)
            if not isinstance(error, OSError):
                raise
            self.result["warnings"] = [f"the next run of this bundle has to tidy up on the host: {_explain(error)}"]

    def _number(self, manifest: _bundle_plan.Manifest, current: _bundle_plan.Manifest) -> int:
        """The current generation when it holds the same files, the one to go back to, or a new one."""
        if self.request["op"] == "roll_back":
            return int(self.request["generation"])
        if current and _states(current) == _states(manifest):
            return self.store.current()
        return max([0, *self.store.numbers()]) + 1

    def _stage(self, plan: _bundle_plan.Plan, manifest: _bundle_plan.Manifest, journal: dict[str, Any]) -> None:
        """All that needs space comes here, before anything is visible."""
        store = self.store
        for sha256 in sorted({state["sha256"] for state in manifest["files"].values()}):
            _bundle_store._step(f"keep {sha256[:12]}")
            store.add(self._need(sha256))
        _bundle_store.sync_directory(store.objects)
        steps = [step for step in plan.steps if step.action != "rmdir"]
        journal["steps"] = _bundle_files.stage(steps, self.txid, self._need)
        if self.request["op"] == "apply":
            _bundle_store._step("write the generation")
            store.write_generation(journal["generation"], manifest)
        _advance(store, journal, "swapping")


def _advance(store: Store, journal: dict[str, Any], phase: str) -> None:
    _bundle_store._step(f"journal {phase}")
    journal["phase"] = phase
    store.write_journal(journal)
    _bundle_store._step(f"{phase} begins")


def _in_force(store: Store, journal: Mapping[str, Any]) -> bool:
    return bool(store.standing()["txid"] == journal["txid"])


def finish(store: Store, journal: Mapping[str, Any]) -> None:
    """Put a generation that is in place into force and tidy up. Repeating it does no harm."""
    _bundle_store._step("move current")
    store.put_in_force({key: journal[key] for key in ("generation", "txid", "made")})
    _bundle_store._step("note pending effects")
    store.write_pending(journal["effects"])
    _bundle_files.sweep(journal["stages"], journal["emptied"])
    _bundle_store._step("remove the journal")
    store.close_journal()
    _bundle_store._step("collect garbage")
    store.collect_garbage(journal["keep"])


def recover(store: Store, reason: str) -> str:
    """End an interrupted transaction: "finished" or "rolled back". The host's lock is held. Raises OSError."""
    journal = store.journal()
    if not journal:
        return ""
    if _in_force(store, journal):
        _bundle_watch.disarm(store)
        finish(store, journal)
        return "finished"
    roll_back(store, journal, reason)
    return "rolled back"


def roll_back(store: Store, journal: Mapping[str, Any], reason: str) -> None:
    """Undo a transaction that is not in force, byte for byte. Repeating it does no harm. Raises OSError."""
    if journal["phase"] != "staging":
        _bundle_files.undo(journal["steps"])
        with contextlib.suppress(Refused):  # the old files are back; a command that fails must not keep the journal
            _activate(journal["activate"])
    _bundle_files.sweep(journal["stages"], [])
    if journal["new"]:
        (store.generations / f"{journal['generation']}.json").unlink(missing_ok=True)
    store.write_outcome(txid=journal["txid"], confirmed=False, reason=reason)
    _bundle_watch.disarm(store)
    _bundle_store._step("remove the journal")
    store.close_journal()


def confirm(store: Store, txid: str) -> Result:
    """Make the transaction final if it is still there. Raises Refused when it was taken back, with `rolled_back`."""
    with _bundle_store.host_lock(store.root, store.name, wait=LONG_WAIT), _signals():
        journal = store.journal()
        if journal and journal["txid"] == txid and journal["phase"] == "confirming":
            store.write_outcome(txid=txid, confirmed=True, result=journal["result"])
            finish(store, journal)
            _bundle_watch.disarm(store)
        elif journal and journal["txid"] == txid:
            recover(store, "it was interrupted before it could be confirmed")
        outcome = store.outcome()
        if outcome.get("txid") != txid:
            raise Refused("the host knows nothing of this change; nothing has been changed.", rolled_back=False)
        if not outcome["confirmed"]:
            raise Refused(f"the host took the change back: {outcome['reason']}.", rolled_back=True)
        result: Result = outcome["result"]
        return result


def take_back(name: str, txid: str, root: Path = ROOT) -> None:
    """What the timer runs: undo the transaction unless it was confirmed meanwhile."""
    store = Store(name, root)
    with _bundle_store.host_lock(root, name, wait=LONG_WAIT), _signals():
        journal = store.journal()
        ours = journal is not None and journal["txid"] == txid
        end = recover(store, "nobody confirmed it in time over a fresh connection") if ours else "settled already"
        print(f"bundle {name}: change {txid}: {end}", flush=True)


def _abandon(store: Store, error: BaseException) -> None:
    """Undo after a failure and say so. Always raises."""
    why = _explain(error)
    journal = store.journal()
    if isinstance(error, wire.Damaged):
        store.forget(error.sha256)
    try:
        if journal:
            roll_back(store, journal, why)
    except OSError as worse:
        raise Refused(
            f"{why}. The previous generation could not be brought back yet ({_explain(worse)}); the next run will."
        ) from error
    raise Refused(f"{why}. The previous generation is in place, byte for byte.") from error


def _explain(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error).rstrip(".") or type(error).__name__


def _activate(commands: Sequence[Sequence[str]]) -> None:
    """Raises Refused when a command fails."""
    for argv in commands:
        _bundle_store._step(f"activate {' '.join(argv)}")
        try:
            done = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PATH": _bundle_sandbox.PATH, "LC_ALL": "C.UTF-8"},
                cwd="/",
                timeout=ACTIVATE_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Refused(f"`{' '.join(argv)}`: {error}") from error
        if done.returncode:
            output = done.stdout.decode(errors="replace").strip()[-2000:]
            raise Refused(f"`{' '.join(argv)}` exited with {done.returncode}: {output}")


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """A polite end is an error like any other and undoes the transaction; a lost connection does not stop it."""

    def interrupt(number: int, _frame: object) -> None:
        raise Interrupted(f"interrupted by {signal.Signals(number).name}")

    new: dict[signal.Signals, Any] = {
        signal.SIGTERM: interrupt, signal.SIGINT: interrupt, signal.SIGHUP: signal.SIG_IGN
    }  # fmt: skip
    before = {number: signal.signal(number, handler) for number, handler in new.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _states(manifest: _bundle_plan.Manifest) -> dict[str, Any]:
    """The part of a manifest that makes a generation a different one."""
    keys = ("type", "sha256", "mode", "uid", "gid")
    return {
        path: [state.get(key) for key in keys]
        for path, state in {**manifest["directories"], **manifest["files"]}.items()
    }


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
