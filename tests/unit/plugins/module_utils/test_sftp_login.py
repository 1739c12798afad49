# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.holdfast.platform.plugins.module_utils._run import Done, Failed
from ansible_collections.holdfast.platform.plugins.module_utils._sftp_login import Login, judge

LOGIN = Login("etcd at backup-a1", "10.77.1.51", 2222, "backup-etcd", "key", ("[10.77.1.51]:2222 ssh-ed25519 AAAA",))


@pytest.mark.parametrize(
    ("status", "said", "refused"),
    [
        (0, "", ""),
        (0, "Warning: something\n", ""),
        (
            255,
            "backup-etcd@10.77.1.51: Permission denied (publickey).\r\n",
            "backup-etcd@10.77.1.51: Permission denied (publickey).",
        ),
        (
            255,
            "@@@@\r\nIT IS POSSIBLE THAT\r\nHost key verification failed.\r\n",
            "Host key verification failed.",
        ),
    ],
)
def test_what_ssh_says(status: int, said: str, refused: str) -> None:
    assert judge(LOGIN, Done(status, "", said)) == refused


@pytest.mark.parametrize(
    "said", ["", "ssh: connect to host 10.77.1.51 port 2222: Connection refused\r\n", "Load key: Permission denied\r\n"]
)
def test_what_proves_nothing(said: str) -> None:
    with pytest.raises(Failed, match="etcd at backup-a1: ssh ended with 255 and said: "):
        judge(LOGIN, Done(255, "", said))
