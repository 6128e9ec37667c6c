"""`odl demo`: the main job on a real stream, in processes of its own; a report and a picture."""

import argparse
import contextlib
import fcntl
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import redis
from rich.console import Console

from odl.cli.demo.client import Client
from odl.cli.demo.display import ReplayProgress, show_report
from odl.cli.demo.driver import Driver
from odl.cli.demo.flights import LATE, Flight, read_flights
from odl.cli.demo.processes import Servers, running
from odl.cli.demo.report import Measured, ReplicaState, checks, report
from odl.cli.demo.scoreboard import Scoreboard
from odl.config import Config, load_config
from odl.errors import Misconfigured, Unavailable
from odl.event import decode
from odl.log import Head, Log
from odl.redis_connection import connect
from odl.redis_log import RedisLog

MODEL_FILE = Path(__file__).with_name("flights.toml")
OURS = ("redis", "logs", "demo.png")  # what a data directory holds, and `--fresh` deletes
CATCH_UP_S_MAX = 120.0  # the consumer and every replica reach the last version; a second is usual
REPLAY_S_MAX = 600.0
POLL_S = 0.02
PAGE = 1_000
PORT_MAX = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl demo`."""
    parser.add_argument(
        "--events", type=_at_least(1), default=20_000, metavar="N", help="flights of this run (20000)"
    )
    parser.add_argument(
        "--replicas", type=_at_least(1), default=2, metavar="R", help="replicas that serve (2)"
    )
    parser.add_argument(
        "--port",
        type=_at_least(0),
        default=0,
        metavar="P",
        help="of the first replica, the others follow (free ones)",
    )
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the report there, as JSON")
    parser.add_argument("--dir", type=Path, default=Path(".odl/demo"), help="data directory (.odl/demo)")
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs and start over")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """0 if every check holds, 1 if one does not, 130 if interrupted; the next run goes on from there."""
    console = Console()
    _interrupt_once()
    try:
        with own_directory(args.dir, fresh=args.fresh):
            return demo(args, console)
    except KeyboardInterrupt:
        console.print(f"Interrupted: everything is shut down. Run again to continue with {args.dir}.")
        return 130


def demo(args: argparse.Namespace, console: Console) -> int:
    """Start everything, replay, report, stop everything."""
    if args.port + args.replicas - 1 > PORT_MAX:
        raise Misconfigured(
            f"expected ports up to {PORT_MAX}, received {args.port} for {args.replicas} replicas"
        )
    config = load_config(MODEL_FILE)
    console.print(f"Starting Redis, Kafka, the consumer and {args.replicas} replicas ...", highlight=False)
    with contextlib.ExitStack() as parts:
        servers = parts.enter_context(
            running(config, MODEL_FILE, args.dir, replicas=args.replicas, port=args.port)
        )
        console.print(f"See it learn: [bold]{servers.replica_urls[0]}/[/]", highlight=False)
        client = parts.enter_context(contextlib.closing(connect(servers.redis_url)))
        measured = measure(args, config, servers, client, console)
        found = report(measured)
        results = checks(found)
        if args.report:
            args.report.parent.mkdir(parents=True, exist_ok=True)
            args.report.write_text(json.dumps(found, indent=2) + "\n")
        show_report(console, found, results)
        console.print(f"picture: {measured.figure}", highlight=False)
        if args.keep:
            keep(servers, console)
    return 0 if all(check.holds for check in results) else 1


def measure(
    args: argparse.Namespace, config: Config, servers: Servers, client: redis.Redis, console: Console
) -> Measured:
    """Replay the flights that the log does not hold yet, wait until all is learned, audit."""
    from hedge_model import ModelSpec  # what takes seconds to import is not, for `--help` and mistakes
    from odl.cli.demo.audit import audit
    from odl.cli.demo.figure import draw
    from streaming.producer import FeedbackProducer

    log = RedisLog(client, config.name)
    history = read_history(log)
    flights = next_flights(history, args.events)
    scoreboard = Scoreboard(sum(history.values()), len(history))
    rest = Client(servers.check)
    events = len(history) + len(flights)
    started = time.monotonic()
    with (
        FeedbackProducer(servers.brokers, config.kafka.topic) as producer,
        ReplayProgress(console, scoreboard, len(flights)) as bar,
    ):
        driver = Driver(rest, producer, servers.replica_urls, scoreboard, len(history))

        def on_slice() -> None:
            servers.check()
            bar.show(driver.version)

        driver.replay(flights, on_slice)
        head = wait_for_version(log, events, servers)
        bar.show(head.version, at_once=True)
    replicas = [wait_for_replica(rest, url, head.version, servers) for url in servers.replica_urls]
    seconds = time.monotonic() - started
    console.print("Folding the log offline: `odl replay`, and once more to check every answer ...")
    with offline_replay(servers.redis_url) as replaying:
        audited = audit(log, ModelSpec.from_dict(config.model), scoreboard.scored)
        offline = _result_of(replaying)
    figure = args.dir / "demo.png"
    draw(figure, scoreboard.scored, audited, head.version)
    return Measured(
        events=events,
        head=head,
        counters=log.counters(),
        served=scoreboard.scored,
        seconds=seconds,
        replicas=replicas,
        offline=offline,
        audit=audited,
        figure=str(figure),
    )


def read_history(log: Log) -> dict[str, bool]:
    """Event id -> whether it was late, for everything that is in the log: what earlier runs have fed."""
    history: dict[str, bool] = {}
    version, head = 0, log.head()
    while version < head.version:
        entries = [entry for entry in log.read(version, PAGE).entries if entry.version > version]
        if not entries:
            raise Misconfigured(f"the log no longer holds version {version + 1}: start over with --fresh")
        for entry in entries:
            event = decode(entry.payload)
            history[event.id] = event.y == LATE
        version = entries[-1].version
    return history


def next_flights(history: dict[str, bool], count: int) -> list[Flight]:
    """The first `count` flights of the year that are not in the log."""
    new = [flight for flight in read_flights(len(history) + count) if flight.id not in history]
    if not new:
        raise Misconfigured("every flight of the year is in the log: start over with --fresh")
    return new[:count]


def wait_for_version(log: Log, version: int, servers: Servers) -> Head:
    """The head once it has reached `version`, or after the time that is allowed for that."""
    deadline = time.monotonic() + CATCH_UP_S_MAX
    while (head := log.head()).version < version and time.monotonic() < deadline:
        servers.check()
        time.sleep(POLL_S)
    return head


def wait_for_replica(client: Client, url: str, version: int, servers: Servers) -> ReplicaState:
    """What a replica says once it has learned `version`, or after the time that is allowed for that."""
    deadline = time.monotonic() + CATCH_UP_S_MAX
    while (status := client.status(url))["version"] < version and time.monotonic() < deadline:
        servers.check()
        time.sleep(POLL_S)
    return ReplicaState(status["replica_id"], status["version"], status["digest"])


@contextlib.contextmanager
def offline_replay(redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """`odl replay --json` in a process of its own, which does not outlive the block."""
    command = [sys.executable, "-m", "odl", "replay", "--json", "--model", str(MODEL_FILE)]
    process = subprocess.Popen(
        [*command, "--redis", redis_url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _result_of(replaying: subprocess.Popen[bytes]) -> dict[str, Any]:
    output, errors = replaying.communicate(timeout=REPLAY_S_MAX)
    if replaying.returncode:
        raise Unavailable(f"`odl replay` failed: {errors.decode(errors='replace').strip()[-400:]}")
    result: dict[str, Any] = json.loads(output)
    return result


def keep(servers: Servers, console: Console) -> None:
    """Say where everything is, and wait for Ctrl-C."""
    for number, url in enumerate(servers.replica_urls, start=1):
        console.print(f"replica {number}: {url}/ (live page), {url}/status", highlight=False)
    addresses = f"export ODL_MODEL={MODEL_FILE} ODL_REDIS={servers.redis_url} ODL_KAFKA={servers.brokers}"
    console.print(addresses, highlight=False, soft_wrap=True)
    console.print("Everything keeps running. Ctrl-C stops it.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            servers.check()
            time.sleep(0.5)


@contextlib.contextmanager
def own_directory(directory: Path, *, fresh: bool) -> Iterator[None]:
    """Hold the data directory for this process alone. Raises `Misconfigured` while another demo has it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"another demo is using {directory}: stop it, or choose another --dir"
            ) from None
        if fresh:
            for name in OURS:
                path = directory / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        yield


def _interrupt_once() -> None:
    """Ctrl-C and SIGTERM end the demo in order; a second one does not disturb that."""

    def interrupt(*_: object) -> NoReturn:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)


def _at_least(least: int) -> Any:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}, received '{text}'")
        return int(text)

    return number
