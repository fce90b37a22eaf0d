"""ipsecscope: a protocol dissector and capture analysis toolkit for IPsec.

The public nouns and verbs are here; each is imported when it is first used, so importing the package costs nothing.

Examples:
    >>> import ipsecscope as ips
    >>> trace = ips.load("captures/lab-ikev1-main-mode.pcap")
    >>> [str(exchange.type) for exchange in trace.ike_sas[0].exchanges][:1]
    ['IDENTITY_PROTECTION']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipsecscope.api import dissect_message, load, write_report
    from ipsecscope.dissect.ikev2 import KeyExchange, Notify, SecurityAssociation
    from ipsecscope.dissect.message import Message
    from ipsecscope.timeline.analysis import Analysis
    from ipsecscope.timeline.flows import Flow
    from ipsecscope.timeline.sas import ChildSa, Exchange, IkeSa

__version__ = "0.1.0"

__all__ = [
    "Analysis",
    "ChildSa",
    "Exchange",
    "Flow",
    "IkeSa",
    "KeyExchange",
    "Message",
    "Notify",
    "SecurityAssociation",
    "__version__",
    "dissect_message",
    "load",
    "write_report",
]

_HOMES = {
    "Analysis": "timeline.analysis",
    "ChildSa": "timeline.sas",
    "Exchange": "timeline.sas",
    "Flow": "timeline.flows",
    "IkeSa": "timeline.sas",
    "KeyExchange": "dissect.ikev2",
    "Message": "dissect.message",
    "Notify": "dissect.ikev2",
    "SecurityAssociation": "dissect.ikev2",
    "dissect_message": "api",
    "load": "api",
    "write_report": "api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
