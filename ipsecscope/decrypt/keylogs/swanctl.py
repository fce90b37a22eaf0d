"""The ``secrets`` section of strongSwan's ``swanctl.conf``: PSKs (``ike…``) and PPKs (``ppk…``).

Passwords of users (``eap…``, ``xauth…``) and of private keys open no capture and are passed over.
"""

from __future__ import annotations

import re

from ipsecscope.decrypt.keylogs.reading import Reading, checked_name
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keylogs.secrets import typed_value
from ipsecscope.decrypt.keys import Ppk, PreSharedKey
from ipsecscope.decrypt.secret import Secret

MAX_DEPTH = 32
OPEN = re.compile(r"\s*([\w.-]{1,64})[^={}]*\{\s*$")
CLOSE = re.compile(r"\s*\}\s*$")
SETTING = re.compile(r"\s*(id[\w.-]{0,32}|secret)\s*=\s*(.*)$")

MARK = r"^[ \t]*secrets[ \t]*\{[ \t]*$"


class _Section:
    """One section of secrets."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.ids: list[str] = []
        self.secret: Secret | None = None


@importer("swanctl", "secrets section of swanctl.conf", MARK)
def read_swanctl(reading: Reading) -> None:
    """Read the pre-shared keys."""
    path: list[str] = []
    section = _Section(0)
    for line in reading.text.lines:
        if found := OPEN.match(line.text):
            path = [*path, found[1]][:MAX_DEPTH]
            section = _Section(line.number)
        elif CLOSE.match(line.text):
            _add(reading, path, section)
            path, section = path[:-1], _Section(line.number)
        elif path[:1] == ["secrets"] and path[-1].startswith(("ike", "ppk")) and (found := SETTING.match(line.text)):
            with reading.line(line.number):
                if found[1] == "secret":
                    section.secret = typed_value(found[2])
                else:
                    section.ids.append(checked_name(found[2].strip("\"' ")))


def _add(reading: Reading, path: list[str], section: _Section) -> None:
    if section.secret is None:
        return
    origin = reading.origin(section.line)
    if path[-1].startswith("ike"):
        reading.add(PreSharedKey(origin=origin, value=section.secret, ids=tuple(section.ids)))
    else:
        reading.add(Ppk(origin=origin, value=section.secret, ppk_id=section.ids[0] if section.ids else ""))
