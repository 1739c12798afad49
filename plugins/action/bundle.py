# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of `bundle`: renders the role's tree, sends it, and confirms over a fresh connection."""

from __future__ import annotations

import os
import pwd
import secrets
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from ansible_collections.holdfast.platform.plugins.module_utils import _bundle_wire as wire
from ansible_collections.holdfast.platform.plugins.plugin_utils import _bundle_request as bundle_request

# What goes along with the one call, in characters of base64; more is asked for by hash and sent apart.
INLINE_LIMIT = 700_000
# Sets of more bytes than this are not even tried for size.
COMPRESS_LIMIT = 8 * 1024 * 1024
# Files of more bytes than this are never held in memory.
MEMORY_LIMIT = 1024 * 1024
# Seconds that a host gets to take a bundle back and answer again, once its time to be confirmed is over.
GRACE = 60
# As ansible.builtin.template renders by default.
OVERRIDES = {"trim_blocks": True, "lstrip_blocks": False, "newline_sequence": "\n"}

SPEC: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "rolled_back"], "default": "present"},
    "generation": {"type": "int"},
    "root": {"type": "path"},
    "defaults": {"type": "dict", "default": {}},
    "files": {"type": "dict", "default": {}},
    "directories": {"type": "dict", "default": {}},
    "validate": {"type": "list", "elements": "list", "default": []},
    "on_drift": {"type": "str", "choices": ["undo", "refuse"], "default": "undo"},
    "keep": {"type": "int", "default": 5},
    "activate": {"type": "list", "elements": "list", "default": []},
    "confirm_within": {"type": "int"},
}


class ActionModule(ActionBase):
    """See the documentation of the module."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        self._variables = task_vars or {}
        self._round_trips = 0
        _, options = self.validate_argument_spec(argument_spec=SPEC)
        try:
            request, contents = self._request(options)
        except bundle_request.BundleError as error:
            raise AnsibleActionFail(f"bundle {options['name']}: {error}") from error
        try:
            result = self._apply(options, request, contents)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        result["round_trips"] = self._round_trips
        return result

    # -- what is sent --------------------------------------------------------------------------------------------------
    def _request(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, wire.Content]]:
        """The request for the host and all contents by hash. Raises BundleError, AnsibleActionFail."""
        request: dict[str, Any] = {
            "name": bundle_request.name(options["name"]),
            "op": "apply" if options["state"] == "present" else "roll_back",
            "txid": secrets.token_hex(6),
            "on_drift": options["on_drift"],
            "confirm_within": options["confirm_within"],
            "activate": bundle_request.commands("activate", options["activate"]),
        }
        bundle_request.check_limits(options)
        if request["op"] == "roll_back":
            return {**request, "generation": options["generation"]}, {}
        root = self._root_directory = self._root(options["root"])
        entries = bundle_request.assemble(bundle_request.discover(root), options["defaults"], options["files"], root)
        directories = bundle_request.directories(options["directories"])
        if not entries and not directories and not options["files"]:
            raise bundle_request.BundleError(
                f"there is no file in {root}/templates or {root}/files, and none is given."
            )
        contents = self._contents(entries)
        request["manifest"] = {
            "files": {
                path: {**entry.want, "sha256": contents[path].sha256, "size": contents[path].size}
                for path, entry in entries.items()
            },
            "directories": directories,
            "validate": bundle_request.commands("validate", options["validate"]),
            "keep": options["keep"],
        }
        return request, {content.sha256: content for content in contents.values()}

    def _root(self, given: str | None) -> Path:
        if given:
            root = Path(self._loader.path_dwim(given))
        elif self._task._role:
            root = Path(self._task._role._role_path)
        else:
            root = Path(self._loader.get_basedir())
        if not root.is_dir():
            raise bundle_request.BundleError(f"root {root} is not a directory.")
        return root

    def _contents(self, entries: Mapping[str, bundle_request.Entry]) -> dict[str, wire.Content]:
        """{path: content}, everything rendered. Raises AnsibleActionFail that names every template that fails."""
        contents = {}
        failures: dict[str, AnsibleError] = {}
        for path, entry in entries.items():
            source = entry.source
            if source.data is not None:
                contents[path] = wire.Content.of_bytes(source.data)
            elif source.template:
                try:
                    contents[path] = wire.Content.of_bytes(self._render(source.template, path))
                except AnsibleError as error:
                    failures[f"template {source.template} for {path}"] = error
            elif source.file:
                large = source.file.stat().st_size > MEMORY_LIMIT
                resolved = source.file.resolve()
                contents[path] = (
                    wire.Content.of_file(resolved) if large else wire.Content.of_bytes(resolved.read_bytes())
                )
        if failures:
            *others, last = failures
            text = "".join(f"{name}: {failures[name]}; " for name in others)
            raise AnsibleActionFail(f"Nothing has been sent to the host. {text}{last}") from failures[last]
        return contents

    def _render(self, template: Path, path: str) -> bytes:
        """Render as ansible.builtin.template does. Raises AnsibleError."""
        text = trust_as_template(self._loader.get_text_file_contents(str(template)))
        here = [str(self._root_directory), self._loader.get_basedir(), str(template.parent)]
        places = [*self._variables.get("ansible_search_path", []), *here]
        searchpath = [candidate for place in places for candidate in (str(Path(place, "templates")), place)]
        variables = {**self._variables, **_template_variables(template, path)}
        if "ansible_managed" in self._variables:
            variables["ansible_managed"] = self._variables["ansible_managed"]
        templar = self._templar.copy_with_new_env(searchpath=searchpath, available_variables=variables)
        result = templar.template(text, escape_backslashes=False, overrides=OVERRIDES)
        return b"" if result is None else str(result).encode("utf-8", "surrogateescape")

    # -- the calls -----------------------------------------------------------------------------------------------------
    def _apply(
        self, options: Mapping[str, Any], request: dict[str, Any], contents: dict[str, wire.Content]
    ) -> dict[str, Any]:
        started = time.monotonic()
        payload = ""
        if sum(content.size for content in contents.values()) <= COMPRESS_LIMIT:
            payload = wire.pack(request, contents.values())
        if not payload or len(payload) > INLINE_LIMIT:
            payload = wire.pack(request, [])
        try:
            result = self._call(options["name"], payload)
            if result.get("missing"):
                recovered = {key: result[key] for key in ("recovered",) if key in result}
                result = self._send_missing(options["name"], request, [contents[sha] for sha in result["missing"]])
                result = {**recovered, **result}
        except AnsibleConnectionFailure:
            if not options["confirm_within"] or self._task.check_mode:
                raise
            result = {"confirm": {"txid": request["txid"], "seconds": options["confirm_within"]}}
        confirm = result.pop("confirm", None)
        if confirm:
            result.update(self._confirm(options["name"], confirm["txid"], started + confirm["seconds"] + GRACE))
        if result.get("recovered"):
            result.setdefault("warnings", []).append(
                f"an interrupted run of bundle {options['name']} was found on the host and {result['recovered']}"
            )
        return result

    def _call(self, name: str, payload: str, contents: str | None = None) -> dict[str, Any]:
        self._round_trips += 1
        result: dict[str, Any] = self._execute_module(
            module_name="holdfast.platform.bundle",
            module_args={"name": name, "_payload": payload, "_contents": contents},
            task_vars=self._variables,
        )
        return result

    def _send_missing(self, name: str, request: Mapping[str, Any], missing: list[wire.Content]) -> dict[str, Any]:
        """Send what the host does not have: in the next call, or as a file when it is too much for that."""
        if sum(content.size for content in missing) <= COMPRESS_LIMIT:
            payload = wire.pack(request, missing)
            if len(payload) <= INLINE_LIMIT:
                return self._call(name, payload)
        self._make_tmp_path()
        remote: str = self._connection._shell.join_path(self._connection._shell.tmpdir, "contents")
        with tempfile.NamedTemporaryFile(dir=C.DEFAULT_LOCAL_TMP) as local:
            wire.write_file(local, missing)
            local.flush()
            self._round_trips += 1
            self._transfer_file(local.name, remote)
        return self._call(name, wire.pack(request, []), remote)

    def _confirm(self, name: str, txid: str, give_up: float) -> dict[str, Any]:
        """Confirm over a connection made for it alone; the host's answer is final either way."""
        payload = wire.pack({"op": "confirm", "name": name, "txid": txid}, [])
        self._connection.reset()
        with _unshared(self._connection):
            while True:
                try:
                    answer = self._call(name, payload)
                except AnsibleConnectionFailure as error:
                    if time.monotonic() >= give_up:
                        raise AnsibleConnectionFailure(
                            f"bundle {name}: the host was not reached again after the change. It takes the change back "
                            f"by itself when it is not confirmed in time. {error}"
                        ) from error
                    time.sleep(1)
                    continue
                if answer.get("failed"):
                    answer["changed"] = False
                    answer["msg"] = f"bundle {name} was not confirmed: {answer.get('msg', 'no reason given')}"
                return answer


class _unshared:  # noqa: N801 - a context manager
    """Within it, SSH neither uses nor leaves a shared (multiplexed) connection; other connections are left alone."""

    OPTIONS = "-o ControlMaster=no -o ControlPath=none"

    def __init__(self, connection: Any):
        self._connection = connection
        self._ssh = "ssh" in connection.transport

    def __enter__(self) -> None:
        if self._ssh:
            self._before = self._connection.get_option("ssh_args")
            self._connection.set_option("ssh_args", f"{self.OPTIONS} {self._before or ''}")

    def __exit__(self, *_: object) -> None:
        if self._ssh:
            self._connection.set_option("ssh_args", self._before)


def _template_variables(template: Path, path: str) -> dict[str, Any]:
    """The variables that ansible.builtin.template adds for every template."""
    found = template.stat()
    try:
        owner: str | int = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        owner = found.st_uid
    managed = C.config.get_config_value("DEFAULT_MANAGED_STR").format(
        host="{{ template_host }}", uid="{{ template_uid }}", file="{{ template_path }}"
    )
    return {
        "template_host": os.uname().nodename,
        "template_path": str(template),
        "template_fullpath": str(template),
        "template_destpath": path,
        "template_mtime": datetime.fromtimestamp(found.st_mtime),  # noqa: DTZ006 - as Ansible has it
        "template_run_date": datetime.now(),  # noqa: DTZ005
        "template_uid": owner,
        "ansible_managed": trust_as_template(time.strftime(managed, time.localtime(found.st_mtime))),
    }
