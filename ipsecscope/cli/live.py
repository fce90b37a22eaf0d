"""The commands ``respond`` and ``initiate``: the built-in peers on real UDP sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipsecscope.cli.console import OK, complain, fail, writing
from ipsecscope.cli.options import Force

if TYPE_CHECKING:
    from ipsecscope.peers.entropy import Clock, Instant
    from ipsecscope.peers.live import LivePeer, Wish
    from ipsecscope.peers.narration import Narration
    from ipsecscope.peers.recording import Capture
    from ipsecscope.peers.udp import Tap, UdpPorts

FAILED = 1
MAX_LINE = 1000  # characters of one line of the log
GOODBYE_S = 4.0  # seconds that the answer to our Delete may take

Config = Annotated[Path, typer.Argument(help="A settings file; docs/live.md describes it.", metavar="CONFIG")]
Address = Annotated[str, typer.Option("--address", help="Bind to this address instead of local.address.")]
Port = Annotated[
    int | None, typer.Option("--port", help="Instead of local.port; 0 takes a free one.", min=0, max=65535)
]
NatPort = Annotated[
    int | None, typer.Option("--nat-port", help="Instead of local.nat_port; 0 takes a free one.", min=0, max=65535)
]
Captured = Annotated[
    Path | None, typer.Option("--capture", help="Write what is sent and received to this pcapng file.")
]
KeyLogFile = Annotated[
    Path | None, typer.Option("--key-log", help="Write all keys to this file, readable by its owner only.")
]
EventsFile = Annotated[Path | None, typer.Option("--events", help="Write every event to this file, as JSON Lines.")]
PingAddress = Annotated[str, typer.Option("--ping", help="Ping this address through the tunnel.", metavar="ADDRESS")]
PingSource = Annotated[str, typer.Option("--ping-from", help="The source of the pings.", metavar="ADDRESS")]
PingCount = Annotated[int, typer.Option("--count", help="How many pings, one second apart.", min=1, max=100_000)]
RekeyChild = Annotated[
    float, typer.Option("--rekey-child", help="Rekey the Child SA this long after the start of the IKE SA.", min=0)
]
RekeyIke = Annotated[float, typer.Option("--rekey-ike", help="Rekey the IKE SA this long after its start.", min=0)]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the application."""
    app.command(
        epilog="Examples:  ipsecscope respond gateway.toml  |  ipsecscope respond gateway.toml --port 5500 --nat-port 5501 "
        "--capture r.pcapng --key-log r.keys --duration 60.  Exit codes: 0 an IKE SA was established (and the ping "
        "answered); 1 none was; 2 unusable settings, address or file."
    )(respond)
    app.command(
        epilog="Examples:  ipsecscope initiate client.toml --ping 10.1.0.1  |  ipsecscope initiate client.toml --port 0 "
        "--nat-port 0 --capture i.pcapng --key-log i.keys --duration 30 --rekey-child 10.  Exit codes: 0 established "
        "(and the ping answered); 1 the negotiation failed; 2 unusable settings, address or file."
    )(initiate)


def respond(
    config: Config,
    address: Address = "",
    port: Port = None,
    nat_port: NatPort = None,
    capture: Captured = None,
    key_log: KeyLogFile = None,
    events: EventsFile = None,
    ping: PingAddress = "",
    ping_from: PingSource = "",
    count: PingCount = 4,
    duration: Annotated[
        float, typer.Option("--duration", help="Stop after so many seconds; 0: when told to.", min=0)
    ] = 0,
    rekey_child: RekeyChild = 0.0,
    rekey_ike: RekeyIke = 0.0,
    force: Force = False,
) -> None:
    """Wait for IKE peers as the settings file says, and answer their pings through the tunnel.

    A test tool on loopback unless told otherwise. Interrupt it (or let --duration end) to delete the SAs and stop.
    """
    wish = _wish(ping, ping_from, count, rekey_child, rekey_ike, 0.0)
    files = {"capture": capture, "key_log": key_log, "events": events}
    _run(config, (address, port, nat_port), wish, files, force=force, initiates=False, duration=duration)


def initiate(
    config: Config,
    address: Address = "",
    port: Port = None,
    nat_port: NatPort = None,
    capture: Captured = None,
    key_log: KeyLogFile = None,
    events: EventsFile = None,
    ping: PingAddress = "",
    ping_from: PingSource = "",
    count: PingCount = 4,
    duration: Annotated[
        float, typer.Option("--duration", help="Stay so many seconds after the IKE SA was established.", min=0)
    ] = 0,
    rekey_child: RekeyChild = 0.0,
    rekey_ike: RekeyIke = 0.0,
    force: Force = False,
) -> None:
    """Establish an IKE SA and a Child SA with the peer that the settings file names, ping through it, delete it."""
    wish = _wish(ping, ping_from, count, rekey_child, rekey_ike, duration)
    files = {"capture": capture, "key_log": key_log, "events": events}
    _run(config, (address, port, nat_port), wish, files, force=force, initiates=True, duration=0)


def _wish(ping: str, ping_from: str, count: int, rekey_child: float, rekey_ike: float, linger: float) -> Wish:
    import ipaddress

    from ipsecscope.peers.entropy import seconds
    from ipsecscope.peers.live import Wish

    for option, address in (("--ping", ping), ("--ping-from", ping_from)):
        try:
            ipaddress.ip_address(address or "::")
        except ValueError:
            fail(f'{option}: "{address}" is no IP address')
    return Wish(
        ping=ping,
        source=ping_from,
        count=count,
        rekey_child=seconds(rekey_child),
        rekey_ike=seconds(rekey_ike),
        linger=seconds(linger),
    )


def _run(
    config: Path,
    place: tuple[str, int | None, int | None],
    wish: Wish,
    files: dict[str, Path | None],
    *,
    force: bool,
    initiates: bool,
    duration: float,
) -> None:
    from ipsecscope.capture.records import CaptureError
    from ipsecscope.peers.config import SettingError
    from ipsecscope.peers.entropy import Entropy, SystemClock
    from ipsecscope.peers.live import LivePeer
    from ipsecscope.peers.narration import Narration
    from ipsecscope.peers.settings import read_settings
    from ipsecscope.peers.settings_file import SettingsFileError
    from ipsecscope.peers.udp import PortError, UdpPorts

    try:
        settings = read_settings(config, os.environ)
        if place[0] and (":" in place[0]) != (":" in settings.remote_address):
            fail(f"--address: an address of the IP version of {settings.remote_address} is expected")
        ports = UdpPorts(
            place[0] or settings.address,
            settings.port if place[1] is None else place[1],
            settings.nat_port if place[2] is None else place[2],
        )
    except (SettingsFileError, PortError) as why:
        fail(str(why))
    except ValueError as why:
        fail(f"--address: {why}")
    except OSError as why:
        fail(f"{config}: {why.strerror}")
    with ports, writing(), contextlib.ExitStack() as stack:
        try:
            live = LivePeer(ports.configured(settings), Entropy.system(), wish, initiates=initiates)
        except SettingError as why:
            fail(f"{config}: {why}")
        capture = _recorders(live, files, stack, force=force)
        narration = Narration(_line, sparing=not initiates)
        live.listeners.append(narration.heard)
        clock = SystemClock()
        where = f"{ports.address} port {ports.port} (IKE) and {ports.nat_port} (IKE and ESP in UDP)"
        _line(f"{'initiating from' if initiates else 'listening on'} {where}")
        try:
            _drive(ports, live, clock, narration, None if capture is None else capture.tap, duration)
        except CaptureError as why:  # such as a full disk
            fail(str(why))
        if capture is not None and capture.omitted:
            complain(f"{files['capture']}: {capture.omitted} datagrams were not captured, the file has its full size")
        failure = live.failure
        if wish.ping and live.ping is not None:
            _line(f"{live.answered} of {live.ping.sent} pings to {wish.ping} answered")
    if failure:
        complain(failure)
        raise typer.Exit(FAILED)
    raise typer.Exit(OK)


def _recorders(
    live: LivePeer, files: dict[str, Path | None], stack: contextlib.ExitStack, *, force: bool
) -> Capture | None:
    """Open the files that were asked for; the capture is for the driver."""
    from ipsecscope.capture.records import CaptureError
    from ipsecscope.peers.recording import Capture, EventLog, KeyLog

    try:
        for kind, target in ((KeyLog, files["key_log"]), (EventLog, files["events"])):
            if target is not None:
                log = kind(target, force=force)
                stack.callback(log.close)
                live.listeners.append(log.heard)
        if files["capture"] is None:
            return None
        return stack.enter_context(Capture(files["capture"], live.steered, force=force))
    except FileExistsError as why:
        fail(f"{why.filename}: exists; --force overwrites it")
    except CaptureError as why:
        fail(str(why))


def _drive(
    ports: UdpPorts, live: LivePeer, clock: Clock, narration: Narration, tap: Tap | None, duration: float
) -> None:
    """Run until everything is done or somebody says stop, then say goodbye."""
    from ipsecscope.peers.entropy import seconds
    from ipsecscope.peers.udp import drive

    with _stopping() as stopped:
        end = clock.now() + seconds(duration) if duration else None

        def counted() -> Mapping[str, int]:
            return live.counts | ports.counts

        def enough(now: Instant) -> bool:
            narration.report(counted, now)
            return bool(stopped) or (end is not None and now >= end) or (live.initiates and live.is_done)

        live.start(clock.now())
        drive(ports, live, clock, until=enough, tap=tap)
        live.close(clock.now())
        last = clock.now() + seconds(GOODBYE_S)
        drive(ports, live, clock, until=lambda now: now >= last or live.steered.is_idle, tap=tap)
        narration.report(counted, clock.now(), at_once=True)


@contextlib.contextmanager
def _stopping() -> Iterator[list[int]]:
    """The signals that asked for the end while this was open: the first one stops in order, another one at once."""
    told: list[int] = []

    def tell(number: int, _: object) -> None:
        if told:
            sys.exit(128 + number)
        told.append(number)

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(text: str) -> None:
    """One line of the log, what a terminal would act on made visible."""
    from ipsecscope.reports.escape import show

    sys.stdout.write(show(text, MAX_LINE) + "\n")
    sys.stdout.flush()
