"""The report as one screen of text: summary, a ladder per IKE SA, the SAs and their flows, notes.

Colour and width are rich's business (``NO_COLOR``, pipes and terminals are respected there); what is said is decided
here, and every string from the network passes ``escape.show``.
"""

from __future__ import annotations

import textwrap
from datetime import datetime
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ipsecscope.diagnose.dialects import TITLES
from ipsecscope.diagnose.hints import HINT
from ipsecscope.dissect.esp import LAST_RESERVED_SPI
from ipsecscope.reports.document import ChildSa, Endpoint, Finding, Flow, Headline, IkeSa, Proposal, Report
from ipsecscope.reports.escape import show
from ipsecscope.reports.ladder import Step, ladder

MAX_SAS = 20  # IKE SAs drawn in full; --format json has them all
MAX_STEPS = 24  # arrows of one ladder
MAX_FLOWS = 20
MAX_NOTES = 12
MAX_HEADLINES = 5
MAX_FINDINGS = 12
MIN_WIDTH, PIPE_WIDTH = 60, 120

_STATE_STYLE = {
    "established": "green",
    "failed": "bold red",
    "half-open": "yellow",
    "rekeyed": "cyan",
    "closed": "cyan",
}
_SEVERITY_STYLE = {"critical": "bold red", "high": "red", "medium": "yellow", "error": "red", "warn": "yellow"}


def write_text(
    report: Report,
    out: TextIO,
    *,
    width: int | None = None,
    color: bool | None = None,
    console: Console | None = None,
) -> None:
    """Draw the report.

    Args:
        report: what to draw.
        out: where to.
        width: columns; None takes the terminal's, or ``PIPE_WIDTH`` where there is none.
        color: True and False decide; None leaves it to the terminal and ``NO_COLOR``.
        console: a console to draw on instead; then the others do not matter.
    """
    console = console or _console(out, width, color)
    _summary(console, report)
    _headline(console, report)
    for sa in report.ike_sas[:MAX_SAS]:
        _ike_sa(console, sa, report)
    _more(console, len(report.ike_sas) - MAX_SAS, "IKE SAs")
    _flows(console, report)
    _icmp(console, report)
    _findings(console, report)
    _notes(console, report)


class _Console(Console):
    """A console that leaves the program's end to the command line."""

    def on_broken_pipe(self) -> None:
        """Let the exception go on."""
        raise  # noqa: PLE0704 (rich calls this while it handles the exception)


def _console(out: TextIO, width: int | None, color: bool | None) -> Console:
    console = _Console(file=out, highlight=False, soft_wrap=False, emoji=False, markup=False)
    if width is None and not console.is_terminal:
        width = PIPE_WIDTH
    if width is None:
        return console
    return _Console(
        file=out,
        highlight=False,
        emoji=False,
        markup=False,
        width=max(width, MIN_WIDTH),
        force_terminal=color,
        no_color=True if color is False else None,
    )


def _line(console: Console, text: str | Text, style: str = "") -> None:
    console.print(text, style=style or None, overflow="fold")


def _more(console: Console, count: int, what: str) -> None:
    if count > 0:
        _line(console, f"  … and {count} more {what} (--format json shows all)", "dim")


def _summary(console: Console, report: Report) -> None:
    capture = report.capture
    for file in capture.files:
        kinds = "+".join(file.link_types) or "no frames"
        text = f"{show(file.name)}: {file.format or 'unread'}, {file.frames} frames, {kinds}"
        _line(console, f"{text}: {show(file.error)}" if file.error else text, "red" if file.error else "bold")
        for note in file.notes:
            _line(console, f"  {note.kind}: {show(note.text)}", "yellow")
    if capture.first_time:
        _line(console, f"{_clock(capture.first_time, full=True)} to {_clock(capture.last_time)} UTC")
    counts = [
        ("IKEv1 messages", capture.messages.ikev1),
        ("IKEv2 messages", capture.messages.ikev2),
        ("ESP packets", capture.packets.esp),
        ("AH packets", capture.packets.ah),
        ("NAT keepalives", capture.packets.nat_keepalive),
        ("ICMP errors", capture.packets.icmp_errors),
        ("incomplete IP datagrams", capture.packets.fragments),
        ("unreadable", capture.packets.unreadable),
        ("other frames", capture.packets.other),
    ]
    said = ", ".join(f"{count} {name}" for name, count in counts if count)
    _line(console, said or "nothing of IPsec")
    if report.keys is not None:
        keys = report.keys
        text = f"keys: {keys.ike_opened} of {keys.ike_encrypted} encrypted IKE messages opened"
        packets = keys.packets_opened + keys.packets_refused
        _line(console, text + (f", {keys.packets_opened} of {packets} ESP and AH packets" if packets else ""))


def _headline(console: Console, report: Report) -> None:
    """The root causes, each with what to try; other findings that a reader should see stand at the end."""
    hinted: set[str] = set()  # codes whose hints were shown: the same ones need no second look
    for headline in (report.headlines or [report.headline] if report.headline else [])[:MAX_HEADLINES]:
        console.print()
        finding = _finding_of(report, headline)
        sure = f"{finding.confidence}: " if finding is not None else ""
        _hanging(console, f"{headline.code}  ", f"{sure}{show(headline.sentence, 1000)}", "bold red")
        if finding is None:
            continue
        if finding.fix:
            _hanging(console, "  fix: ", show(finding.fix, 600))
        for dialect, text in finding.config.items() if headline.code not in hinted else ():
            _hanging(
                console, f"  hint, {TITLES.get(dialect, show(dialect))}: ", show(text.removeprefix(HINT), 600), "dim"
            )
        hinted.add(headline.code)
        if finding.confirm:
            _hanging(console, "  to be sure: ", show(finding.confirm, 600), "dim")


def _hanging(console: Console, label: str, text: str, style: str = "") -> None:
    """A label with text beside it; further lines are indented, so that the labels stand out."""
    indent = " " * (2 + len(label) - len(label.lstrip()))
    width = max(console.width, MIN_WIDTH)
    lines = textwrap.wrap(
        text, width, initial_indent=label, subsequent_indent=indent, break_long_words=True, break_on_hyphens=False
    )
    for line in lines or [label.rstrip()]:
        _line(console, line, style)


def _finding_of(report: Report, headline: Headline) -> Finding | None:
    wanted = (headline.code, headline.subject)
    return next((each for each in report.findings if (each.code, each.subject) == wanted), None)


def _findings(console: Console, report: Report) -> None:
    told = {(each.code, each.subject) for each in report.headlines}
    shown = [
        each
        for each in report.findings
        if each.suppressed_by is None and each.severity != "info" and (each.code, each.subject) not in told
    ]
    if not shown:
        return
    console.print()
    for each in shown[:MAX_FINDINGS]:
        text = f"{each.severity}, {each.confidence}: {show(each.summary, 600)}"
        _hanging(console, f"{each.code}  ", text, _SEVERITY_STYLE.get(each.severity, ""))
    _more(console, len(shown) - MAX_FINDINGS, "findings")


def _ike_sa(console: Console, sa: IkeSa, report: Report) -> None:
    console.print()
    version = f"IKEv{sa.version}" + (f" {sa.mode} mode" if sa.mode else "")
    head = Text(f"{sa.id}  {version}  ", style="bold")
    head.append(f"{_end(sa.initiator)} ⇄ {_end(sa.responder)}  ", style="")
    basis = "" if sa.basis == "observed" else f" ({sa.basis})"
    head.append(f"{sa.state}{basis}", style=_STATE_STYLE.get(sa.state, ""))
    _line(console, head)
    for fact in _facts(sa):
        _hanging(console, "  ", fact)
    _ladder(console, sa)
    for child in sa.child_sas:
        _child(console, child, report)


def _end(end: Endpoint) -> str:
    vendor = f" ({', '.join(show(name) for name in end.vendor)})" if end.vendor else ""
    address = f"[{end.address}]" if ":" in end.address else end.address
    return f"{address}:{end.port}{vendor}"


def _facts(sa: IkeSa) -> list[str]:
    facts = [f"SPIs {sa.spi_i} / {sa.spi_r or 'none'}"]
    if sa.proposal is not None:
        facts.append(f"proposal {proposal_text(sa.proposal)}")
    if sa.initiator.id or sa.responder.id:
        names = [f"{end.id.type} {show(end.id.value)}" if end.id else "?" for end in (sa.initiator, sa.responder)]
        facts.append(f"identities {names[0]} / {names[1]}")
    if sa.auth.initiator or sa.auth.responder:
        verdict = {True: "both verified", False: "VERIFICATION FAILED", None: "not verified"}[sa.auth.verified]
        facts.append(f"authentication {sa.auth.initiator or '?'} / {sa.auth.responder or '?'}, {verdict}")
    verdicts = _nat(sa)
    if verdicts:
        facts.append(verdicts)
    if sa.rekeys:
        facts.append(f"replaces {sa.rekeys}" + (f" ({sa.rekeys_basis})" if sa.rekeys_basis != "decrypted" else ""))
    if not sa.handshake_seen:
        facts.append("the handshake is not in the capture")
    return facts


def _nat(sa: IkeSa) -> str:
    behind = [role for role, verdict in (("initiator", sa.nat.initiator), ("responder", sa.nat.responder)) if verdict]
    if behind:
        who = " and ".join(behind)
        text = f"NAT: {who} by the detection hashes" + (", made up to force UDP encapsulation" if sa.nat.forced else "")
    elif sa.nat.initiator is False and sa.nat.responder is False:
        text = "NAT: none"
    else:
        text = ""
    if sa.nat.unexplained and not sa.nat.forced:
        text += f"; the hash of the {' and '.join(sa.nat.unexplained)} fits no address seen here"
    return text + (", moved to UDP 4500" if text and sa.nat_t else "")


def proposal_text(proposal: Proposal) -> str:
    """A negotiated suite on one line: ``ENCR_AES_CBC-256, PRF_HMAC_SHA2_256, …``."""
    encr = proposal.encr or "?"
    parts = [f"{encr}-{proposal.key_length}" if proposal.key_length else encr]
    parts += [part for part in (proposal.prf, proposal.integ, *proposal.ke) if part]
    if proposal.auth:
        parts.append(f"auth {proposal.auth}")
    if proposal.lifetime_s:
        parts.append(f"{proposal.lifetime_s} s")
    if proposal.esn:
        parts.append("ESN")
    return ", ".join(parts)


def _ladder(console: Console, sa: IkeSa) -> None:
    steps = ladder(sa)
    if not steps:
        return
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False, show_edge=False)
    table.add_column("", width=2)
    table.add_column("time", justify="right", no_wrap=True, style="dim")
    table.add_column("frame", justify="right", no_wrap=True, style="dim")
    table.add_column("arrow", no_wrap=True)
    table.add_column("exchange", no_wrap=True)
    table.add_column("payloads", overflow="fold", ratio=1)
    start = sa.exchanges[0].time
    for step in steps[:MAX_STEPS]:
        table.add_row(
            "", _since(step.time, start), _frames(step), "──▶" if step.to_right else "◀──", _name(sa, step), _said(step)
        )
    console.print(table)
    _more(console, len(steps) - MAX_STEPS, "messages")


def _name(sa: IkeSa, step: Step) -> str:
    if sa.version == 1:
        return f"{step.exchange} {step.message_id:08x}" if step.message_id else step.exchange
    return f"{step.exchange} {step.message_id}"


def _frames(step: Step) -> str:
    first, last = step.frames[0], step.frames[-1]
    return f"#{first}" if first == last else f"#{first}…{last}"


def _said(step: Step) -> Text:
    text = Text(show(step.text, 600))
    if step.remark:
        text.append(f"  ← {show(step.remark)}", style="yellow")
    return text


def _child(console: Console, child: ChildSa, report: Report) -> None:
    spis = f"{child.spi_i or '?'} / {child.spi_r or '?'}"
    text = Text(f"  {child.id}  {child.protocol}", style="bold")
    text.append(f" {child.mode or ''} SPIs {spis}  ", style="")
    text.append(child.state, style=_STATE_STYLE.get(child.state, ""))
    text.append("" if child.basis == "observed" else f" ({child.basis})")
    if child.proposal is not None:
        text.append(f"  {proposal_text(child.proposal)}")
    if child.tsi is not None and child.tsr is not None:
        text.append(f"  {', '.join(map(show, child.tsi))} === {', '.join(map(show, child.tsr))}")
    if child.rekeys:
        text.append(f"  replaces {child.rekeys}")
    _line(console, text)
    del report


def _flows(console: Console, report: Report) -> None:
    if not report.flows:
        return
    console.print()
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    for name, justify in (
        ("flow", "left"),
        ("", "left"),
        ("SPI", "left"),
        ("SA", "left"),
        ("packets", "right"),
        ("octets", "right"),
        ("sequence", "left"),
        ("remarks", "left"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for flow in report.flows[:MAX_FLOWS]:
        via = {"udp": "/UDP", "tcp": "/TCP"}.get(flow.encapsulation, "")
        table.add_row(
            flow.id,
            f"{flow.src} → {flow.dst}",
            f"{flow.protocol}{via} {flow.spi}",
            (flow.child_sa or flow.ike_sa or "?") + ("*" if flow.binding == "inferred" else ""),
            str(flow.packets),
            str(flow.bytes),
            f"{flow.sequence.first}…{flow.sequence.last}",
            _remarks(flow),
        )
    console.print(table)
    if any(flow.binding == "inferred" for flow in report.flows[:MAX_FLOWS]):
        _line(console, "* bound to its SA by time and addresses, not by a SPI that was read", "dim")
    _more(console, len(report.flows) - MAX_FLOWS, "flows")


def _remarks(flow: Flow) -> str:
    sequence = flow.sequence
    counted = (
        ("lost", sequence.lost),
        ("duplicates", sequence.duplicates),
        ("replayed", sequence.replayed),
        ("reordered", sequence.reordered),
    )
    parts = ["a reserved SPI"] if int(flow.spi, 16) <= LAST_RESERVED_SPI else []
    parts += [f"{count} {name}" for name, count in counted if count]
    if flow.opened is not None:
        parts.append(f"{flow.opened} opened")
    if flow.refused:
        parts.append(f"{flow.refused} refused: {show(flow.reason or '')}")
    return ", ".join(parts)


def _icmp(console: Console, report: Report) -> None:
    if not report.icmp_errors:
        return
    console.print()
    for error in report.icmp_errors[:MAX_NOTES]:
        text = f"ICMP from {error.sender}: type {error.type} code {error.code}"
        mtu = f", MTU {error.mtu}" if error.mtu else ""
        _line(console, f"#{error.frame} {text}{mtu}, quotes {error.quotes} {error.src} → {error.dst}", "yellow")
    _more(console, len(report.icmp_errors) - MAX_NOTES, "ICMP errors")


def _notes(console: Console, report: Report) -> None:
    notes = [note for note in report.notes if note.severity in {"warn", "error"}]
    if not notes:
        return
    console.print()
    for note in notes[:MAX_NOTES]:
        place = f" octets {note.bytes[0]}-{note.bytes[1]}" if note.bytes else ""
        text = f"#{note.frame}{place} {note.kind}: {show(note.text)}"
        _line(console, text, _SEVERITY_STYLE.get(note.severity, ""))
    _more(console, len(notes) - MAX_NOTES, "notes")


def _clock(time: str | None, *, full: bool = False) -> str:
    if time is None:
        return "?"
    return time.replace("T", " ").rstrip("Z") if full else time.partition("T")[2].rstrip("Z")


def _since(time: str | None, start: str | None) -> str:
    """Seconds since the SA began, from two RFC 3339 times of the same precision."""
    if time is None or start is None:
        return ""
    elapsed = datetime.fromisoformat(time) - datetime.fromisoformat(start)
    return f"{elapsed.total_seconds():.6f}"
