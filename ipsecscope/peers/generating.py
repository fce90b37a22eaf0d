"""What a played scenario leaves behind: the capture, its keys and what is to be found in it, each a file of bytes."""

from __future__ import annotations

import msgspec

from ipsecscope.decrypt.keylogs.exporters.ipsecscope_log import ipsecscope_log
from ipsecscope.peers.scenario import Generated

SUFFIXES = (".pcapng", ".keys", ".expected.json")
MARK = "# test keys of the scenario {name}, seed {seed}: everybody can make them, so they protect nothing\n"


def files_of(generated: Generated) -> dict[str, bytes]:
    """The files of a scenario: name and content."""
    name = generated.name
    keys = MARK.format(name=name, seed=generated.seed) + ipsecscope_log(generated.keys)
    expected = {
        "scenario": name,
        "seed": generated.seed,
        "fails": generated.fails or None,
        "traffic": [
            {
                "sender": each.sender,
                "protocol": each.protocol,
                "spi": f"{each.spi:08x}",
                "sent": each.sent,
                "accepted": each.accepted,
            }
            for each in generated.traffic
        ],
        "events": generated.expected,
    }
    contents = (generated.pcapng, keys.encode(), msgspec.json.format(msgspec.json.encode(expected), indent=1) + b"\n")
    return {f"{name}{suffix}": content for suffix, content in zip(SUFFIXES, contents, strict=True)}
