"""Keys from any form into any other, with what a capture adds: derived keys and the SPIs of what they open."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from ipsecscope.decrypt.keylogs.exporters import (
    Exported,
    esp_sa_table,
    esps_block,
    ikev1_table,
    ikev2_table,
    ipsecscope_log,
    open_command,
    tcpdump_secrets,
    write_private,
    write_wireshark_profile,
)
from ipsecscope.decrypt.keys import IkeV1Keys, IkeV2Keys, KeyRecord, Problem, SaKeys
from ipsecscope.reports.key_forms import KeyForm
from ipsecscope.timeline.proven_keys import FORMAT as DERIVED


class Converted(msgspec.Struct, frozen=True):
    """What was written: the path, how many rows it has, which records have none, and the command that uses it."""

    path: Path
    rows: int
    left_out: tuple[Problem, ...] = ()
    command: str = ""


class NothingToWriteError(Exception):
    """No record has a row in the form that was asked for. ``left_out`` says why for each."""

    def __init__(self, form: KeyForm, left_out: tuple[Problem, ...] = ()) -> None:
        super().__init__(f"none of the keys can be written as {form.value}")
        self.left_out = left_out


class _Table(msgspec.Struct, frozen=True):
    content: str | bytes
    rows: int
    left_out: tuple[Problem, ...] = ()


def convert(
    records: Iterable[KeyRecord], form: KeyForm, path: Path, *, capture: str = "", force: bool = False
) -> Converted:
    """Write records in one form: a file, or for ``wireshark_profile`` a folder; readable by their owner only.

    A path that is a folder gets the table under the name that Wireshark looks for. ``capture`` is put into the
    command that is given back.

    Raises:
        NothingToWriteError: no record can be written so.
        OSError: the file exists and ``force`` is false, or it cannot be written.
    """
    known = merged(records)
    if form is KeyForm.wireshark_profile:
        return _profile(known, path, capture, force=force)
    table = _WRITERS[form](known)
    if not table.rows:
        raise NothingToWriteError(form, table.left_out)
    target = path / form.value if path.is_dir() else path
    _require_place(target, force=force)
    write_private(target, table.content, overwrite=force)
    return Converted(target, table.rows, table.left_out)


def merged(records: Iterable[KeyRecord]) -> list[KeyRecord]:
    """The records without those that a derived one tells better: the same keys, with the SPIs of what they opened."""
    known = list(records)
    derived = {_keys(record) for record in known if record.origin.format == DERIVED}
    return [record for record in known if record.origin.format == DERIVED or _keys(record) not in derived]


def _keys(record: KeyRecord) -> object:
    """The keys of a record without what they belong to; for other records the record itself."""
    if isinstance(record, SaKeys):
        return (SaKeys, record.encryption_key, record.integrity_key)
    if isinstance(record, IkeV2Keys):
        return (IkeV2Keys, record.sk_ei, record.sk_er, record.sk_ai, record.sk_ar)
    if isinstance(record, IkeV1Keys) and record.ka is not None:
        return (IkeV1Keys, record.ka)
    return record


def _profile(records: list[KeyRecord], path: Path, capture: str, *, force: bool) -> Converted:
    tables = (esp_sa_table(records), ikev2_table(records), ikev1_table(records))
    left_out = tuple(problem for table in tables for problem in table.left_out)
    rows = sum(table.rows for table in tables)
    if not rows:
        raise NothingToWriteError(KeyForm.wireshark_profile, left_out)
    if path.exists() and not path.is_dir():
        raise OSError(f"{path}: is not a folder")
    write_wireshark_profile(records, path, overwrite=force)
    return Converted(path, rows, left_out, open_command(path, capture))


def _require_place(path: Path, *, force: bool) -> None:
    """Raise OSError in the words of the other commands when the file must not be written."""
    if path.is_symlink():
        raise OSError(f"{path}: is a symbolic link; it is not followed")
    if path.exists() and not path.is_file():
        raise OSError(f"{path}: is not a regular file")
    if path.exists() and not force:
        raise OSError(f"{path}: exists; --force overwrites it")


def _log(records: list[KeyRecord]) -> _Table:
    return _Table(ipsecscope_log(records), len(records))


def _esps(records: list[KeyRecord]) -> _Table:
    content, left_out = esps_block(records)
    return _Table(content, len(content.splitlines()) - 1, left_out)


def _of(exporter: Callable[[list[KeyRecord]], Exported]) -> Callable[[list[KeyRecord]], _Table]:
    def write(records: list[KeyRecord]) -> _Table:
        exported = exporter(records)
        return _Table(exported.text, exported.rows, exported.left_out)

    return write


_WRITERS: dict[KeyForm, Callable[[list[KeyRecord]], _Table]] = {
    KeyForm.ipsecscope: _log,
    KeyForm.esp_sa: _of(esp_sa_table),
    KeyForm.ikev2_decryption_table: _of(ikev2_table),
    KeyForm.ikev1_decryption_table: _of(ikev1_table),
    KeyForm.tcpdump: _of(tcpdump_secrets),
    KeyForm.esps: _esps,
}
