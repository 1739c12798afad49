# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install programs that the distribution does not package: the controller's half, which has the mirror."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail

from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_lock, _bringing, _mirror


class ActionModule(_bringing.Bringing):
    """Action `holdfast.platform.artifact`."""

    arguments: ClassVar = {
        **_bringing.ARGUMENTS,
        "images": {"type": "list", "elements": "str", "default": []},
        "hold": {"type": "dict", "default": {}},
        "keep": {"type": "int", "default": 2},
        "state": {"type": "str", "choices": ["present", "fetched"], "default": "present"},
    }

    def offered(
        self, given: Mapping[str, Any], lock: _artifact_lock.Lock, mirror: Path, url: str
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Path]]:
        """See Bringing. Images are only asked for."""
        if given["keep"] < 1:
            raise AnsibleActionFail(f"keep ({given['keep']}): the version in use always stays; give 1 or more")
        for name, path in given["hold"].items():
            if name not in given["names"]:
                raise AnsibleActionFail(f"hold.{name} ({path}): is not among names, so nothing is to be held")
        wanted, files = _mirror.offers(mirror, lock.chosen(given["names"]), url)
        images, _ = _mirror.images(mirror, lock.images(given["images"]), url)
        arguments = {key: given[key] for key in ("names", "images", "hold", "keep", "state")}
        return arguments, {"wanted": wanted, "images": images}, files
