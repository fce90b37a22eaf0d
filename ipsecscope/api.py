"""The verbs of the library: load captures, dissect octets, write reports."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.diagnose.engine import diagnose
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.writing import open_output
from ipsecscope.reports.writing import write_report as write
from ipsecscope.timeline.analysis import Analysis, analyze

Paths = str | Path | Iterable[str | Path]

_FORMATS = {".json": "json", ".jsonl": "jsonl", ".txt": "text", "": "text"}


def load(captures: Paths, *, keys: Paths = (), ike_ports: Iterable[int] = ()) -> Analysis:
    """Analyse captures.

    Args:
        captures: one or more files, folders or patterns.
        keys: files with key material in any known form.
        ike_ports: UDP ports that carry IKE besides those that are recognised.

    Raises:
        OSError: a key file cannot be read.
        UnusableFileError: none of the captures can be used; if only some cannot, ``Analysis.errors`` names them.
    """
    records = [record for path in _paths(keys) for record in read_keys(path).records]
    ring = KeyRing(records) if records else None
    analysis = analyze([str(path) for path in _paths(captures)], ike_ports=frozenset(ike_ports), ring=ring)
    if not analysis.files and analysis.errors:
        raise analysis.errors[0]
    return analysis


def dissect_message(data: bytes) -> Message:
    """Read one IKE message, version 1 or 2, from its header on (RFC 2408, RFC 7296); never raises."""
    return parse_message(data)


def write_report(analysis: Analysis, path: str | Path, *, force: bool = False) -> None:
    """Write the report of an analysis; the file's ending chooses the format (.json, .jsonl, .txt).

    Raises:
        ValueError: no format has this ending.
        OSError: the file exists and ``force`` is not given, or it cannot be written.
    """
    target = Path(path)
    kind = _FORMATS.get(target.suffix)
    if kind is None:
        raise ValueError(f"{target.name}: no report format ends with {target.suffix!r}")
    with open_output(target, force=force) as out:
        write(assemble(analysis, diagnose(analysis)), analysis, kind, out)


def _paths(paths: Paths) -> list[str | Path]:
    return [paths] if isinstance(paths, str | Path) else list(paths)
