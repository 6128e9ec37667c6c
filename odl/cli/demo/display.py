"""What a demo shows: a progress bar with running scores, then a table and the checks."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from odl.cli.demo.report import Check
from odl.cli.demo.scoreboard import Scoreboard

REFRESH_S = 0.2  # scores cost a millisecond
DIGEST_SHOWN = 32  # of 64 digits: fits 80 columns


class ReplayProgress:
    """The bar while flights are replayed."""

    def __init__(self, console: Console, scoreboard: Scoreboard, total: int) -> None:
        columns = (
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
            TextColumn("{task.completed:,}/{task.total:,}", table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[told]}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        )
        self._scoreboard = scoreboard
        self._progress = Progress(*columns, console=console, expand=True)
        self._task: TaskID = self._progress.add_task("flights", total=total, told="")
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> "ReplayProgress":
        self._started = time.monotonic()
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, version: int, *, at_once: bool = False) -> None:
        """Bring the bar up to date, a few times a second."""
        now = time.monotonic()
        if now - self._shown < REFRESH_S and not at_once:
            return
        self._shown = now
        scores = self._scoreboard.running.scores()
        per_second = scores.events / max(now - self._started, 1e-9)
        told = f"[cyan]{per_second:,.0f}/s[/] version [bold]{version:,}[/]"
        if scores.accuracy is not None and scores.log_loss is not None:
            told += f" acc {scores.accuracy:.3f} loss {scores.log_loss:.3f}"
        if scores.auc is not None:
            told += f" AUC {scores.auc:.3f}"
        self._progress.update(self._task, completed=scores.events, told=told)


def show_report(console: Console, found: dict[str, Any], results: list[Check]) -> None:
    """The table, the replicas and the checks."""
    table = Table(title="Flights from New York: late or on time?", title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right", style="bold")
    table.add_column()
    latency = found["predict_ms"]
    area = "-" if found["auc"] is None else f"{found['auc']:.3f}"
    rows = [
        ("answers scored", f"{found['served']:,}", "each when its flight had landed"),
        ("AUC", area, "0.5 is chance"),
        ("log-loss", f"{found['log_loss']:.3f}", f"base rate {found['base_rate_log_loss']:.3f}"),
        ("accuracy", f"{found['accuracy']:.3f}", ""),
        ("predict", f"{latency['p50']:.1f} ms", f"99 % within {latency['p99']:.1f} ms, by REST"),
        ("events/s", f"{found['events_per_second']:,.0f}", "predicted, labelled and learned, all processes"),
        ("version", f"{found['version']:,}", f"epoch {found['epoch']}"),
        ("duplicates", f"{found['duplicates']:,}", "recognised, not learned again"),
        ("dead letters", f"{found['dead_letters']:,}", ""),
    ]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    replicas = Table("replica", "version", "digest", title="Same version, same bits", title_justify="left")
    for replica in found["replicas"]:
        replicas.add_row(replica["id"], f"{replica['version']:,}", replica["digest"][:DIGEST_SHOWN])
    replicas.add_row("odl replay (offline)", f"{found['version']:,}", found["offline_digest"][:DIGEST_SHOWN])
    console.print(replicas)
    for check in results:
        mark = "[green]holds[/]" if check.holds else "[bold white on red] FAILS [/]"
        console.print(f"{mark}  {check.claim}: {check.found}", highlight=False)
