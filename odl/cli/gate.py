"""`odl gate`: whether an exported candidate may serve, and if not, why."""

import argparse
import html
import tomllib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from hedge_model.portable import PortableModel
from odl.cli.options import add_connection_options, model_config, redis_url
from odl.cli.table import open_table
from odl.contract_check import integration_gate
from odl.errors import InvalidEvent, Misconfigured
from odl.event import Event, decode
from odl.gate import Check, Example, GateSettings, model_gate, quality_gate
from odl.redis_connection import connect
from odl.redis_log import RedisLog

PROBED_ROWS = 20  # rows that the integration gate sends
PAGE_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
 color:#1a1a1a;background:#fff}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #ccc}
.no{color:#a40000;font-weight:600}.yes{color:#00622f}
@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}
 .no{color:#ff8a80}.yes{color:#7fd8a0}td,th{border-color:#444}}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `odl gate`."""
    parser.add_argument("candidate", type=Path, help="what `odl export` wrote")
    parser.add_argument("--serving", type=Path, metavar="FILE.npz", help="export of what serves now")
    parser.add_argument(
        "--recent", type=Path, metavar="FILE.csv", help="held-out events; else those in the log"
    )
    parser.add_argument(
        "--old", type=Path, metavar="FILE.csv", help="events of the past; else those in the log"
    )
    parser.add_argument("--label", metavar="COLUMN", help="the column to predict, of the CSV files")
    parser.add_argument("--segment", metavar="FIELD", help="judge every value of this field for itself")
    parser.add_argument("--events", type=int, default=2_000, help="how many of each to take (2000)")
    parser.add_argument("--url", help="a running server of the candidate, for the integration gate")
    parser.add_argument("--limits", type=Path, metavar="FILE.toml", help="a file with a [gates] table")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the checks as JSON")
    parser.add_argument("--page", type=Path, metavar="FILE.html", help="write one page that says why")
    add_connection_options(parser, kafka=False)


def run(args: argparse.Namespace) -> int:
    """0 if every check passed, else 1."""
    settings = _settings(args.limits)
    candidate = _load(args.candidate)
    serving = _load(args.serving) if args.serving else None
    held_out_from = max(candidate.version, serving.version if serving else 0)
    recent, old = _examples(args, held_out_from)
    checks = model_gate(candidate, serving, recent, old, settings)
    checks += quality_gate(candidate, recent, settings)
    if args.url:
        rows = [example.x for example in recent[:PROBED_ROWS]]
        if not rows:
            raise Misconfigured("expected at least one recent event to ask the server about, found none")
        checks += integration_gate(args.url, candidate, candidate.version, rows)
    _show(checks)
    title = f"{args.candidate.name}, version {candidate.version}"
    if args.json:
        args.json.write_bytes(msgspec.json.encode({"candidate": title, "checks": checks}))
    if args.page:
        args.page.write_text(page(title, checks), encoding="utf-8")
    return 0 if all(check.passed for check in checks) else 1


def _settings(file: Path | None) -> GateSettings:
    if file is None:
        return GateSettings()
    try:
        return msgspec.convert(tomllib.loads(file.read_text()).get("gates", {}), GateSettings)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise Misconfigured(f"{file}: expected a [gates] table: {error}") from error


def _load(file: Path) -> PortableModel:
    try:
        return PortableModel.load(file)
    except (OSError, ValueError, KeyError) as error:
        raise Misconfigured(f"{file} is no exported model: {error}") from error


def _examples(args: argparse.Namespace, held_out_from: int) -> tuple[list[Example], list[Example]]:
    """Recent and old examples. Of the log, recent are only those that neither model had learned."""
    if args.recent:
        if not args.label:
            raise Misconfigured("expected --label COLUMN with --recent, received none")
        old = _of_file(args.old, args) if args.old else []
        return _of_file(args.recent, args), old
    config = model_config(args)
    with connect(redis_url(args)) as client:
        log = RedisLog(client, config.name)
        head = log.head()
        newest = max(held_out_from, head.version - args.events)
        oldest = log.read(0, args.events).entries
        return (
            _of_events(_events(log, newest, head.version), args),
            _of_events((event for entry in oldest if (event := _event(entry.payload))), args),
        )


def _of_file(file: Path, args: argparse.Namespace) -> list[Example]:
    table = open_table(file)
    if args.label not in table.names:
        raise Misconfigured(f"{file} has no column '{args.label}'; it has {', '.join(table.names)}")
    found = []
    for x in islice(table.examples(), args.events):
        y = x.pop(args.label)
        if y is not None:
            found.append(Example(x, y, str(x.get(args.segment, "")) if args.segment else ""))
    return found


def _events(log: RedisLog, start: int, end: int) -> Iterable[Event]:
    at = start
    while at < end:
        entries = [entry for entry in log.read(at, 1_000).entries if entry.version > at]
        if not entries:
            return
        for entry in entries:
            event = _event(entry.payload)
            if event is not None:
                yield event
        at = entries[-1].version


def _event(payload: bytes) -> Event | None:
    """The event of an entry; None for entries that are none (they teach nothing)."""
    try:
        return decode(payload)
    except InvalidEvent:
        return None


def _of_events(events: Iterable[Event], args: argparse.Namespace) -> list[Example]:
    segment = args.segment
    return [Example(event.x, event.y, str(event.x.get(segment, "")) if segment else "") for event in events]


def _show(checks: list[Check]) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    for column in ("gate", "check", "", "found", "wanted"):
        table.add_column(column)
    for check in checks:
        mark = "[green]passed[/]" if check.passed else "[red]FAILED[/]"
        table.add_row(check.gate, check.name, mark, check.found, check.wanted)
    console.print(table)
    failed = sum(not check.passed for check in checks)
    console.print(f"{len(checks) - failed} of {len(checks)} checks passed", highlight=False)


def page(title: str, checks: list[Check]) -> str:
    """One HTML page: the verdict, then every check, those that failed first."""
    failed = [check for check in checks if not check.passed]
    verdict = f"refused: {len(failed)} of {len(checks)} checks failed" if failed else "qualified"
    rows = "".join(
        f"<tr><td>{html.escape(check.gate)}</td><td>{html.escape(check.name)}</td>"
        f'<td class="{"yes" if check.passed else "no"}">{"passed" if check.passed else "failed"}</td>'
        f"<td>{html.escape(check.found)}</td><td>{html.escape(check.wanted)}</td></tr>"
        for check in sorted(checks, key=lambda check: check.passed)
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}: {verdict}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{PAGE_STYLE}</style>'
        f"<h1>{html.escape(title)}</h1><p>This candidate is <strong>{html.escape(verdict)}</strong>.</p>"
        "<table><thead><tr><th>gate</th><th>check</th><th>verdict</th><th>found</th><th>wanted</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></html>\n"
    )
