# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a bundle consists of: the files of a role's tree and the settings of the task, put together.

Pure but for `discover`, which lists the tree. Rendering is the action's.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import fnmatch
import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_KEYS = ("owner", "group", "mode", "unit", "effect", "content", "base64", "template", "when")
COMMON_KEYS = ("owner", "group", "mode", "unit", "effect")
EFFECTS = ("none", "reload", "restart")
DEFAULTS = {"owner": "root", "group": "root", "mode": "0644", "unit": None}
DIRECTORY_DEFAULTS = {"owner": "root", "group": "root", "mode": "0755", "unit": None, "effect": "none"}
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MODE = re.compile(r"[0-7]{3,4}")


class BundleError(ValueError):
    """A setting of the bundle is wrong; the message names it, what is wrong and what would be right."""


@dataclass(frozen=True)
class Source:
    """Where the content of one file comes from: exactly one of template, file (paths on the controller), or data."""

    template: Path | None = None
    file: Path | None = None
    data: bytes | None = None


@dataclass(frozen=True)
class Entry:
    """One file of the bundle: its source and what the host is told of it."""

    source: Source
    want: dict[str, Any]


def discover(root: Path) -> dict[str, Source]:
    """{path on the host: source} of `templates/` and `files/` under a root.

    A name that starts with an underscore, at any depth, is not a file of the host: macros and parts that templates
    include. Raises BundleError when two sources have one path.
    """
    found: dict[str, Source] = {}
    for kind in ("templates", "files"):
        tree = root / kind
        for directory, directories, names in os.walk(tree, followlinks=True):
            directories[:] = sorted(name for name in directories if not name.startswith("_"))
            for name in sorted(names):
                if name.startswith("_"):
                    continue
                path = Path(directory, name)
                target = "/" + path.relative_to(tree).as_posix()
                source = Source(template=path) if kind == "templates" else Source(file=path)
                if kind == "templates":
                    target = target.removesuffix(".j2")
                if target in found:
                    other = found[target]
                    raise BundleError(f"{target} has two sources, {other.template or other.file} and {path}: keep one.")
                found[target] = source
    return found


def assemble(
    found: Mapping[str, Source],
    defaults: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Any] | None],
    root: Path,
) -> dict[str, Entry]:
    """Put the tree and the settings together: {path: entry}, sorted by path.

    Defaults give way to patterns in the order in which they are written, those to the path itself. Raises BundleError.
    """
    base = {**DEFAULTS, **_checked("defaults", defaults, COMMON_KEYS)}
    exact, patterns = _sort_keys(found, files)
    entries = {}
    for path in sorted({*found, *exact}):
        settings = dict(base)
        for pattern, given in patterns.items():
            if fnmatch.fnmatchcase(path, pattern):
                settings.update(given)
        settings.update(exact.get(path, {}))
        if not _truth(f"files[{path}].when", settings.pop("when", True)):
            continue
        source = _source(path, settings, found.get(path), root)
        entries[path] = Entry(source, want(path, settings))
    return entries


def directories(declared: Mapping[str, Mapping[str, Any] | None]) -> dict[str, dict[str, Any]]:
    """{path: want} of the declared directories. Raises BundleError."""
    result = {}
    for path in sorted(declared):
        settings = _checked(f"directories[{path}]", declared[path] or {}, COMMON_KEYS)
        result[_host_path("directories", path)] = want(path, {**DIRECTORY_DEFAULTS, **settings})
    return result


def commands(option: str, value: Iterable[Any]) -> list[list[str]]:
    """Argument lists, each a list of words. Raises BundleError."""
    result = []
    for number, argv in enumerate(value):
        if not isinstance(argv, (list, tuple)) or not argv:
            raise BundleError(
                f"{option}[{number}] is {argv!r}; it has to be a list of words, for example [nft, -c, -f, /etc/x.nft]."
            )
        result.append([str(word) for word in argv])
    return result


def name(value: str) -> str:
    """A bundle's name. Raises BundleError."""
    if not NAME.fullmatch(value):
        raise BundleError(f"name is {value!r}; it has to be lower-case letters, digits, - and _, at most 64 of them.")
    return value


def check_limits(options: Mapping[str, Any]) -> None:
    """Options that need each other, and numbers that make sense. Raises BundleError."""
    if options["keep"] < 1:
        raise BundleError(f"keep is {options['keep']}; at least 1 generation has to be kept.")
    if options["confirm_within"] is not None and not 5 <= options["confirm_within"] <= 3600:
        raise BundleError(f"confirm_within is {options['confirm_within']}; it has to be 5 to 3600 seconds.")
    if options["activate"] and options["confirm_within"] is None:
        raise BundleError("activate is given without confirm_within; a unit is reloaded by effect and member instead.")
    if options["generation"] is not None and options["state"] != "rolled_back":
        raise BundleError("generation is given without state: rolled_back.")


def want(path: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the host is told of one path: owner, group, mode (as a number), unit, effect. Raises BundleError."""
    mode = settings["mode"]
    if not isinstance(mode, str) or not MODE.fullmatch(mode):
        raise BundleError(f"{path}: mode is {mode!r}; it has to be a quoted octal number such as '0640'.")
    unit = settings["unit"] or None
    effect = settings.get("effect") or ("restart" if unit else "none")
    if effect not in EFFECTS:
        raise BundleError(f"{path}: effect is {effect!r}; it has to be one of {', '.join(EFFECTS)}.")
    if effect != "none" and not unit:
        raise BundleError(f"{path}: effect is {effect} but unit is not given; name the unit to {effect}.")
    owner, group = (str(settings[key]) for key in ("owner", "group"))
    return {"owner": owner, "group": group, "mode": int(mode, 8), "unit": unit, "effect": effect}


def _sort_keys(
    found: Mapping[str, Source], files: Mapping[str, Mapping[str, Any] | None]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Settings of exact paths and of patterns. A key with * ? [ is a pattern unless a source has just that path."""
    exact: dict[str, dict[str, Any]] = {}
    patterns: dict[str, dict[str, Any]] = {}
    for key, given in files.items():
        settings = _checked(f"files[{key}]", given or {}, FILE_KEYS)
        if key in found or not re.search(r"[*?\[]", key):
            path = _host_path("files", key)
            makes = {"content", "base64", "template"} & set(settings)
            if path not in found and not makes and _truth(f"files[{key}].when", settings.get("when", True)):
                raise BundleError(
                    f"files[{key}]: there is no template or file with this path{_nearest(key, found)}, "
                    "and neither content, base64 nor template is given."
                )
            exact[path] = settings
        else:
            if {"content", "base64", "template"} & set(settings):
                raise BundleError(f"files[{key}]: a pattern can't give content; name the path.")
            patterns[key] = settings
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(path, pattern) for path in {*found, *exact}):
            raise BundleError(f"files[{pattern}]: the pattern matches no file of the bundle.")
    return exact, patterns


def _source(path: str, settings: Mapping[str, Any], found: Source | None, root: Path) -> Source:
    given = [key for key in ("content", "base64", "template") if settings.get(key) is not None]
    if len(given) > 1:
        raise BundleError(f"files[{path}]: {' and '.join(given)} exclude each other.")
    if not given:
        if found is None:
            raise BundleError(f"files[{path}]: content is empty; give a text.")
        return found
    value = settings[given[0]]
    if given[0] == "template":
        template = root / "templates" / str(value)
        if not template.is_file():
            raise BundleError(f"files[{path}]: template {value} is not in {root / 'templates'}.")
        return Source(template=template)
    if given[0] == "content":
        if not isinstance(value, str):
            raise BundleError(f"files[{path}]: content is a {type(value).__name__}; it has to be text (use a filter).")
        return Source(data=value.encode())
    try:
        return Source(data=base64.b64decode(str(value), validate=True))
    except binascii.Error as error:
        raise BundleError(f"files[{path}]: base64 can't be decoded: {error}.") from error


def _checked(where: str, settings: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        raise BundleError(f"{where} has to be a mapping, not {settings!r}.")
    for key in settings:
        if key not in known:
            raise BundleError(f"{where}: {key} is not known{_nearest(key, known)}; known are {', '.join(known)}.")
    return dict(settings)


def _host_path(where: str, path: str) -> str:
    if not path.startswith("/") or posixpath.normpath(path) != path or path == "/":
        raise BundleError(
            f"{where}[{path}]: it has to be an absolute path without . and .. and without a slash at the end."
        )
    return path


def _nearest(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(key), list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _truth(where: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text not in ("true", "false", "yes", "no"):
        raise BundleError(f"{where} is {value!r}; it has to be true or false.")
    return text in ("true", "yes")
