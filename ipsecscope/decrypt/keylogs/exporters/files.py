"""Files that hold keys: readable by their owner only, and never written over another file by accident."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600
PRIVATE_FOLDER = 0o700


def write_private(path: Path | str, content: bytes | str, *, overwrite: bool = False) -> Path:
    """Write a file with mode 0600 from its first octet on, whole or not at all.

    Raises:
        FileExistsError: the file is there and ``overwrite`` is false.
        OSError: it cannot be written.
    """
    target = Path(path)
    octets = content.encode() if isinstance(content, str) else content
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} is there already")
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
        if overwrite:
            beside.replace(target)
        else:
            os.link(beside, target)  # unlike a rename this fails when the file has come into being meanwhile
    finally:
        beside.unlink(missing_ok=True)
    return target


def open_private(path: Path | str, *, overwrite: bool = False) -> BinaryIO:
    """A new file with mode 0600 from its first octet on, to be written little by little.

    Raises:
        FileExistsError: something is there, and ``overwrite`` is false or it is no regular file.
        OSError: it cannot be made.
    """
    target = Path(path)
    if overwrite and target.is_file() and not target.is_symlink():
        target.unlink()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    return os.fdopen(descriptor, "wb")


def private_folder(path: Path | str) -> Path:
    """Make a folder with mode 0700, and its parents; one that is there stays as it is."""
    folder = Path(path)
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    return folder
