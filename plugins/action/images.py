# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring container images to a host's containerd: the controller's half, which has the mirror."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.holdfast.platform.plugins.plugin_utils import _artifact_lock, _bringing, _mirror


class ActionModule(_bringing.Bringing):
    """Action `holdfast.platform.images`."""

    arguments: ClassVar = {**_bringing.ARGUMENTS, "pull": {"type": "bool", "default": False}}

    def offered(
        self, given: Mapping[str, Any], lock: _artifact_lock.Lock, mirror: Path, url: str
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Path]]:
        """See Bringing."""
        wanted, files = _mirror.images(mirror, lock.images(given["names"]), url)
        return {key: given[key] for key in ("names", "pull")}, {"wanted": wanted}, files
