# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows a person what a run does and what it cost."""

from __future__ import annotations

DOCUMENTATION = """
name: progress
type: stdout
short_description: What a run does, and what each service of it cost
version_added: 0.1.0
author: [Holdfast founders (@holdfast)]
description:
  - Shows each play with its service, one line for each result that changed, failed or could not be reached, the
    paths that a bundle changed, and differences under C(--diff).
  - On a terminal the running task stands on one line that is overwritten; elsewhere each task has a plain line.
  - A failure shows its message, not the result; C(-v) adds the results.
  - The run ends with one table of services with hosts, changed results, seconds and round trips. The last column
    holds the round trips of the most expensive host, whose budget is six when nothing changes.
  - A round trip is one module run on a host. A result may carry its own figure as C(round_trips).
  - Under C(ansible-runner) it serves as the base of the runner's own callback, without any cursor movement.
options:
  figures:
    description: File that gets the figures of the table as JSON.
    type: path
    env:
      - name: HOLDFAST_FIGURES
extends_documentation_fragment:
  - result_format_callback
requirements:
  - Set as stdout callback in the configuration.
"""

EXAMPLES = """
# ansible.cfg
# [defaults]
# stdout_callback = holdfast.platform.progress
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback import CallbackBase

from ansible_collections.holdfast.platform.plugins.plugin_utils import _progress as progress

FULL_NAME = "holdfast.platform.progress"


def _stays_here(result: Any) -> bool:
    """Tell whether the task was delegated to the controller. The name of the delegate is there from core 2.20 on."""
    delegate = result.result.get("_ansible_delegated_vars") or {}
    return (
        delegate.get("ansible_delegated_host") in progress.LOCAL_HOSTS or delegate.get("ansible_connection") == "local"
    )


class CallbackModule(CallbackBase):
    """The thin half: takes events, prints what ``_progress`` makes of them."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = FULL_NAME

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._began = time.monotonic()
        self._tally = progress.Tally(self._began)
        self._play_service = ""
        self._hosts_done = 0
        self._status = ""
        self._diff_wanted = False
        # ansible-runner's callback derives from this class and reads a pseudo terminal: plain lines there.
        self._rewrites = self.CALLBACK_NAME == FULL_NAME and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    # Lines

    def _print(self, text: str, color: str | None = None) -> None:
        self._erase()
        self._display.display(text, color=color)

    def _erase(self) -> None:
        if self._status:
            sys.stdout.write("\r\033[2K")
            self._status = ""

    def _show_status(self, text: str) -> None:
        """Keep one line at the bottom of the terminal that says what is going on."""
        if self._rewrites:
            self._erase()
            columns = shutil.get_terminal_size().columns
            self._status = progress.fitted(f"  {self._elapsed()}  {text}", columns)
            sys.stdout.write(self._status)
            sys.stdout.flush()

    def _elapsed(self) -> str:
        return progress.clock(time.monotonic() - self._began)

    def _print_result(
        self, word: str, result: Any, color: str, *, note: str = "", lines: list[str] | None = None
    ) -> None:
        text = f"  {word:<11}  {self.host_label(result)}  {self._task_name(result.task)}{note}"
        self._print("\n".join([text, *(f"      {line}" for line in lines or [])]), color)

    def _print_details(self, result: Any) -> None:
        if self._run_is_verbose(result):
            self._print(self._dump_results(result.result, indent=4))

    # Names

    @staticmethod
    def _task_name(task: Any) -> str:
        return str(task.name or task.action).strip()

    def _service(self, task: Any) -> str:
        roles, parent = [], task
        while parent is not None:
            role = getattr(parent, "_role", None)
            if role is not None:
                roles.append(role.get_name())
            parent = getattr(parent, "_parent", None)
        return progress.service_name(roles, self._play_service)

    def _label(self, item: Any) -> str:
        return str(self._get_item_label(item))

    # Plays and tasks

    def v2_playbook_on_play_start(self, play: Any) -> None:
        name = play.get_name().strip()
        self._play_service = progress.service_name([role.get_name() for role in play.get_roles()[:1]], name)
        self._tally.enter(self._play_service, time.monotonic())
        title = name if name == self._play_service else f"{self._play_service}: {name}"
        self._print(f"\n== {title}{' (check mode)' if play.check_mode else ''}", C.COLOR_HIGHLIGHT)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._print("  no hosts matched", C.COLOR_SKIP)

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        self._print("  no hosts left", C.COLOR_ERROR)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        self._start(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._start(task)

    def _start(self, task: Any) -> None:
        self._tally.enter(self._service(task), time.monotonic())
        self._hosts_done = 0
        if self._rewrites:
            self._show_status(self._task_name(task))
        elif not isinstance(task, TaskInclude):
            self._print(f"  {self._elapsed():>5}  {self._task_name(task)}")

    # Results

    def _record(self, result: Any, outcome: progress.Outcome) -> None:
        task, service = result.task, self._service(result.task)
        if isinstance(task, TaskInclude):
            return
        host = result.host.get_name()
        trips = progress.round_trips(
            getattr(task, "resolved_action", None) or task.action,
            result.result,
            local=outcome == "unreachable" or host in progress.LOCAL_HOSTS or _stays_here(result),
            loop=task.loop is not None,
        )
        changed = bool(result.result.get("changed"))
        self._tally.record(service, host, self._task_name(task), trips=trips, changed=changed, outcome=outcome)
        self._hosts_done += 1

    def _still(self, result: Any) -> None:
        self._show_status(f"{self._task_name(result.task)} ({self._hosts_done} done)")

    def v2_on_file_diff(self, result: Any) -> None:  # noqa: ARG002
        # Core announces a difference right before the result; it reads better below the result.
        self._diff_wanted = True

    def v2_runner_on_ok(self, result: Any) -> None:
        self._record(result, "ok")
        self._warn(result)
        data = result.result
        in_loop = result.task.loop is not None
        if data.get("changed"):
            items = progress.changed_items(data.get("results"), self._label) if in_loop else []
            note = f": {', '.join(items)}" if items else ""
            self._print_result("changed", result, C.COLOR_CHANGED, note=note, lines=progress.changed_paths(data))
            self._print_diff(result)
            self._print_details(result)
        elif data.get("_ansible_verbose_always"):
            self._print_message(result)
        elif self._run_is_verbose(result) and not isinstance(result.task, TaskInclude):
            self._print_result("ok", result, C.COLOR_OK)
            self._print_details(result)
        self._diff_wanted = False
        self._still(result)

    def _print_message(self, result: Any) -> None:
        """Print what a debug task has to say, without the result around it."""
        data = result.result
        self._clean_results(data, "debug")
        spoken = {key: value for key, value in data.items() if not key.startswith("_ansible_")}
        text = spoken["msg"] if "msg" in spoken else self._dump_results(spoken, indent=4)
        self._print_result("says", result, C.COLOR_OK, lines=progress.as_lines(text))

    def _print_diff(self, result: Any) -> None:
        if not self._diff_wanted:
            return
        loop = result.task.loop is not None
        for part in result.result.get("results", []) if loop else [result.result]:
            if part.get("diff") and part.get("changed"):
                self._print(self._get_diff(part["diff"]).rstrip())

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._record(result, "failed")
        word = "ignored" if ignore_errors else "failed"
        lines = progress.failure_lines(result.result)
        if not ignore_errors and (path := result.task.get_path()):
            lines.append(f"at {path}")
        self._print_result(word, result, C.COLOR_WARN if ignore_errors else C.COLOR_ERROR, lines=lines)
        self._diff_wanted = False
        if self._run_is_verbose(result):
            self._handle_warnings_and_exception(result)
            self._print_details(result)
        else:
            self._warn(result)
        self._still(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._record(result, "unreachable")
        self._print_result(
            "unreachable", result, C.COLOR_UNREACHABLE, lines=progress.as_lines(result.result.get("msg", ""))
        )
        self._print_details(result)
        self._still(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._hosts_done += 1
        self._warn(result)
        self._still(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._warn(result)
        if result.result.get("_ansible_verbose_always"):
            self._print_message(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._warn(result)
        lines = progress.failure_lines(result.result)
        self._print_result("failed", result, C.COLOR_ERROR, note=f": {self._label(result.result)}", lines=lines)
        self._print_details(result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        self._warn(result)

    def v2_runner_retry(self, result: Any) -> None:
        attempts, retries = result.result.get("attempts", 0), result.result.get("retries", 0)
        text = f"{self._task_name(result.task)}: {result.host.get_name()}, attempt {attempts} of {retries}"
        self._show_status(text)
        if not self._rewrites and attempts % 10 == 1:
            self._print(f"  waiting      {text}")

    def _warn(self, result: Any) -> None:
        if result.result.get("warnings") or result.result.get("deprecations"):
            self._erase()
            self._handle_warnings(result.result)

    # The end

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._tally.close(time.monotonic(), failed=set(stats.failures), unreachable=set(stats.dark))
        self._print("")
        for number, line in enumerate(self._tally.table()):
            lost = "FAILED" in line or "UNREACHABLE" in line
            self._print(line, C.COLOR_ERROR if lost else C.COLOR_HIGHLIGHT if number == 0 else None)
        if figures := self.get_option("figures"):
            text = json.dumps(self._tally.figures(), indent=2, sort_keys=True)
            Path(figures).write_text(f"{text}\n", encoding="utf-8")
