# Copyright: (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Approves the serving certificates that kubelets ask for, when they name nothing but what is declared of their node.

Kubernetes approves none of these itself: whoever has a node's credentials may ask for any name, and would be taken for
it (kubernetes.io, TLS bootstrapping, "Certificate rotation"). Here the inventory has the last word. A request that does
not fit is left as it is, and told of: somebody may have forgotten to declare an address.

The role lays this file down on the control planes, where a timer starts it, so that it needs only the standard library
and kubectl. A site run does the same by its own client, right after nodes have joined.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Object = dict[str, Any]
#: Method, path and body of a request to the API; its answer, or None when somebody else wrote at the same moment.
Ask = Callable[[str, str, Any], "Object | None"]

SIGNER = "kubernetes.io/kubelet-serving"
PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_USER = "system:node:"
_GROUP = "system:nodes"
#: What the signer takes (kubernetes.io, Certificate Signing Requests, "Kubernetes signers"); RSA keys encipher, too.
_USAGES = ({"digital signature", "server auth"}, {"digital signature", "key encipherment", "server auth"})

# DER tags (ITU-T X.690, 8) and object identifiers (RFC 2985, RFC 5280), as they stand in a request.
_INTEGER, _OCTETS, _OID, _SEQUENCE, _SET, _ATTRIBUTES = 0x02, 0x04, 0x06, 0x30, 0x31, 0xA0
_TEXTS = (0x0C, 0x13)  # UTF8String, PrintableString
_DNS, _ADDRESS = 0x82, 0x87
_COMMON_NAME, _ORGANIZATION = b"\x55\x04\x03", b"\x55\x04\x0a"
_EXTENSIONS = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"
_ALTERNATIVE_NAMES = b"\x55\x1d\x11"


class Refusal(Exception):
    """Something can't be done, or not be read; the text says why."""


def judge(request: Mapping[str, Any], nodes: Mapping[str, Iterable[str]]) -> str:
    """Why a request for a serving certificate may not be approved; empty when it may.

    request: a CertificateSigningRequest of the API; nodes: names and addresses that belong to each node.
    """
    spec = request["spec"]
    user = str(spec.get("username", ""))
    name = user[len(_USER) :]
    if spec.get("signerName") != SIGNER:
        return f"is for the signer {spec.get('signerName')}, not {SIGNER}"
    if not user.startswith(_USER) or _GROUP not in spec.get("groups", ()):
        return f"{user or 'nobody'} asks for it, who is no node"
    if name not in nodes:
        return f"nobody declared the node {name}"
    if set(spec.get("usages", ())) not in _USAGES:
        return (
            f"asks for the usages {', '.join(spec.get('usages', ())) or '(none)'}; a server's are {_told(_USAGES[1])}"
        )
    try:
        subject, names = parse(spec.get("request", ""))
    except Refusal as refusal:
        return str(refusal)
    if sorted(subject) != sorted([(_COMMON_NAME, user), (_ORGANIZATION, _GROUP)]):
        return f"its subject is {_told(text for _, text in subject)}, not {_told([_GROUP, user])}"
    foreign = sorted(set(names) - {_spelled(one) for one in nodes[name]})
    if foreign:
        return f"names {', '.join(foreign)}, which nobody declared of {name}"
    return "" if names else "names nothing that it would serve"


def _told(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "(none)"


def _spelled(name: str) -> str:
    """An address in its one spelling; a name as it is."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def parse(encoded: str) -> tuple[list[tuple[bytes, str]], list[str]]:
    """The subject as pairs of object identifier and text, and the alternative names, of a PKCS#10 request (RFC 2986).

    encoded: PEM in base64, as the API has it. Raises Refusal for anything that a kubelet's request does not hold, so
    that no other reader can find more in it than this one. The API has checked that its signature is its own.
    """
    try:
        text = base64.b64decode(encoded, validate=True).decode("ascii")
        block = re.fullmatch(
            r"-----BEGIN CERTIFICATE REQUEST-----\n([A-Za-z0-9+/=\n]+)-----END CERTIFICATE REQUEST-----\n?", text
        )
        der = base64.b64decode(block[1].replace("\n", ""), validate=True) if block else b""
    except (binascii.Error, UnicodeDecodeError):
        der = b""
    if not der:
        raise Refusal("holds no certificate request")
    try:
        return _parse(der)
    except (IndexError, ValueError) as error:
        raise Refusal(f"holds a request that no kubelet writes ({error or 'it is cut off'})") from None


def _parse(der: bytes) -> tuple[list[tuple[bytes, str]], list[str]]:
    info, _algorithm, _signature = _parts(_only(der, _SEQUENCE))
    version, (kind, subject), _key, *attributes = _parts(_expect(info, _SEQUENCE))
    if version != (_INTEGER, b"\0") or kind != _SEQUENCE or len(attributes) > 1:
        raise ValueError("its parts are others")
    found = [_pair(_only(_expect(one, _SET), _SEQUENCE)) for one in _parts(subject)]
    names: list[str] = []
    for one in _parts(_expect(attributes[0], _ATTRIBUTES)) if attributes else ():
        (_, oid), values = _parts(_expect(one, _SEQUENCE))
        if oid != _EXTENSIONS or names:
            raise ValueError("it has an attribute that is unknown")
        for extension in _parts(_only(_expect(values, _SET), _SEQUENCE)):
            (_, oid), *_critical, value = _parts(_expect(extension, _SEQUENCE))
            if oid != _ALTERNATIVE_NAMES or names:
                raise ValueError("it has an extension that is unknown")
            names += [_name(*one) for one in _parts(_only(_expect(value, _OCTETS), _SEQUENCE))]
    return found, names


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of what stands one after the other. Raises ValueError, or IndexError, where it is no DER."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length >= 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
            if not 1 <= size <= 3 or length < 0x80 or length.bit_length() <= 8 * (size - 1):
                raise ValueError("a length is spelled otherwise")
        if tag & 0x1F == 0x1F or at + length > len(data):
            raise ValueError("a part does not fit")
        yield tag, data[at : at + length]
        at += length


def _only(data: bytes, tag: int) -> bytes:
    """The content of the one part that there is."""
    (part,) = _parts(data)
    return _expect(part, tag)


def _expect(part: tuple[int, bytes], tag: int) -> bytes:
    if part[0] != tag:
        raise ValueError(f"a part is {part[0]:#x}, not {tag:#x}")
    return part[1]


def _pair(data: bytes) -> tuple[bytes, str]:
    (kind, oid), (text, value) = _parts(data)
    if kind != _OID or text not in _TEXTS:
        raise ValueError("its subject is spelled otherwise")
    return oid, value.decode("utf-8")


def _name(tag: int, value: bytes) -> str:
    if tag == _DNS:
        return value.decode("ascii")
    if tag == _ADDRESS:
        return str(ipaddress.ip_address(value))
    raise ValueError("it has a name that is neither a host's nor an address")


def open_ones(ask: Ask) -> list[Object]:
    """The requests that nobody has decided on."""
    answer = ask("GET", f"{PATH}?fieldSelector=spec.signerName%3D{SIGNER.replace('/', '%2F')}", None) or {}
    return [one for one in answer.get("items", ()) if not (one.get("status") or {}).get("conditions")]


def approve(ask: Ask, nodes: Mapping[str, Iterable[str]], *, check: bool = False) -> tuple[list[str], dict[str, str]]:
    """Approve what fits: the nodes that got an approval, sorted, and why others were left, by request.

    With check nothing is written. Raises what ask raises.
    """
    approved, left = set(), {}
    for request in open_ones(ask):
        name = request["metadata"]["name"]
        reason = judge(request, nodes)
        if reason:
            left[name] = reason
        elif check or ask("PUT", f"{PATH}/{name}/approval", approval(request)) is not None:
            approved.add(request["spec"]["username"][len(_USER) :])
    return sorted(approved), left


def approval(request: Mapping[str, Any]) -> Object:
    """The request with its approval. It holds UID and version: what was judged is what gets it."""
    said = {
        "type": "Approved",
        "status": "True",
        "reason": "HoldfastInventory",
        "message": "Names and addresses are those that are declared of the node.",
    }
    whole = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", **request}
    return {**whole, "status": {**(request.get("status") or {}), "conditions": [said]}}


def kubectl(kubeconfig: str) -> Ask:
    """The API by way of kubectl. What it returns raises Refusal."""

    def ask(method: str, path: str, body: Any) -> Object | None:
        words = ["get", "--raw", path] if method == "GET" else ["replace", "--raw", path, "-f", "-"]
        argv = ["kubectl", "--kubeconfig", kubeconfig, "--request-timeout=30s", *words]
        given = "" if body is None else json.dumps(body)
        done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            if "(Conflict)" in done.stderr or "(NotFound)" in done.stderr:
                return None
            raise Refusal(f"{' '.join(argv)}: {done.stderr.strip()[-500:]}")
        answer: Object = json.loads(done.stdout)
        return answer

    return ask


def main() -> int:
    """One round. Arguments: a JSON file of nodes, {name: [names and addresses]}, and a kubeconfig."""
    try:
        nodes = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        approved, left = approve(kubectl(sys.argv[2]), nodes)
    except (OSError, ValueError, Refusal) as error:
        print(f"no certificate was approved: {error}", file=sys.stderr)
        return 1
    for node in approved:
        print(f"{node}: its serving certificate is approved")
    for request, reason in left.items():
        print(f"{request} stays undecided: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
