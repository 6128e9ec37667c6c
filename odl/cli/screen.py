"""What a replica's events look like in a terminal: the live page in characters, for any width.

>>> sparkline([0.0, 1.0, 2.0, 4.0], 4)
'▁▂▄█'
"""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

BLOCKS = "▁▂▃▄▅▆▇█"
BAR_MAX = 30  # characters of the widest bar
DEPTHS_MAX = 8  # shown; the paper's network has 21
EVENTS_MAX = 6
SPARK_MAX = 60
MARKS_MAX = 3


def plain(value: Any) -> Text:
    """What users sent, as text: no markup, nothing that moves a cursor."""
    return Text("".join(letter if letter.isprintable() else "?" for letter in str(value)))


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` values, each one block high between their minimum and maximum."""
    shown = values[-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    step = (high - low) / (len(BLOCKS) - 1) or 1.0
    return "".join(BLOCKS[int((value - low) / step)] for value in shown)


def draw(hello: dict[str, Any], points: Sequence[dict[str, Any]], now: dict[str, Any]) -> RenderableType:
    """The whole screen: what `seldon.live` told last, and the points so far."""
    parts: list[RenderableType] = [_head(hello, now), _tiles(hello, points, now)]
    if hello["learns"]:
        parts += [_depths(now), _replicas(now)]
        if now["recent"]:
            parts.append(_events(now))
        if now["marks"]:
            newest = [f"{each['what']} at {each['version']:,}" for each in now["marks"][-MARKS_MAX:]]
            parts.append(plain("marks: " + ", ".join(newest)))
    return Group(*parts)


def _head(hello: dict[str, Any], now: dict[str, Any]) -> RenderableType:
    replica, fleet = now["replica"], now["fleet"]
    state, colour = "at the newest version", "green"
    if fleet.get("error"):
        state, colour = "the log is out of reach", "red"
    elif not replica["ready"]:
        state, colour = "catching up", "yellow"
    version = (f"{replica['version']:,}", "bold")
    where = f"  epoch {replica['epoch']}  "
    title = Text.assemble((hello["model"], "bold"), "  version ", version, where, ("● " + state, colour))
    return Panel(title, expand=True, border_style="dim", subtitle=Text("Ctrl-C to leave", "dim"))


def _tiles(hello: dict[str, Any], points: Sequence[dict[str, Any]], now: dict[str, Any]) -> Table:
    point, traffic, fleet = now["point"], now["traffic"], now["fleet"]
    table = Table.grid(padding=(0, 3))
    table.add_column(style="dim")
    table.add_column(justify="right", style="bold")
    table.add_column(style="dim")
    table.add_column(style="cyan", no_wrap=True)
    for name, key, base in (
        ("accuracy", "accuracy", "most frequent class"),
        ("log-loss", "log_loss", "frequencies alone"),
        ("mean absolute error", "mae", ""),
        ("root mean squared error", "rmse", ""),
    ):
        if f"{key}_recent" in point:
            values = [each[f"{key}_recent"] for each in points if f"{key}_recent" in each]
            baseline = point.get(f"{key}_base")
            note = f"of all {point[key]:.4f}" + (f", {base} {baseline:.4f}" if baseline is not None else "")
            table.add_row(name, f"{point[f'{key}_recent']:.4f}", note, sparkline(values, SPARK_MAX))
    rates = [each.get("events_per_s", 0.0) for each in points]
    if hello["learns"]:
        events = f"{now['replica']['events']:,} in all"
        table.add_row(
            "learned/s", f"{point.get('events_per_s', 0):,.0f}", events, sparkline(rates, SPARK_MAX)
        )
    asked = [each.get("predictions_per_s", 0.0) for each in points]
    table.add_row(
        "predictions/s",
        f"{point.get('predictions_per_s', 0):,.0f}",
        f"{traffic['predictions']:,} by this replica",
        sparkline(asked, SPARK_MAX),
    )
    if traffic["predict_p50_ms"] is not None:
        slow = f"99 % within {traffic['predict_p99_ms']:.1f} ms"
        table.add_row("time to predict", f"{traffic['predict_p50_ms']:.1f} ms", slow)
    if "dead_letters" in fleet:
        table.add_row("dead letters", f"{fleet['dead_letters']:,}", f"{fleet['duplicates']:,} duplicates")
    return table


def _depths(now: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    weights = list(enumerate(now["replica"]["depth_weights"]))
    most = sorted(sorted(weights, key=lambda each: -each[1])[:DEPTHS_MAX])
    for depth, weight in most:
        bar = Text("█" * round(weight * BAR_MAX) or "▏", "cyan")
        table.add_row(Text(f"depth {depth}", "dim"), bar, f"{weight * 100:.1f} %")
    return table


def _replicas(now: dict[str, Any]) -> Table:
    table = Table("replica", title="replicas", title_justify="left")
    for name in ("version", "behind", "epoch"):
        table.add_column(name, justify="right")
    table.add_column("digest")
    table.add_column("address")
    for each in now["fleet"]["replicas"]:
        version, lag, epoch = f"{each['version']:,}", f"{each['lag']:,}", str(each["epoch"])
        table.add_row(
            plain(each["id"]), version, lag, epoch, each["digest"][:12] or "learning", plain(each["url"])
        )
    return table


def _events(now: dict[str, Any]) -> Table:
    table = Table("version", "predicted", "was", "source", title="last events", title_justify="left")
    for event in now["recent"][: -EVENTS_MAX - 1 : -1]:
        said, right = event["prediction"], None
        if isinstance(said, dict):
            best = max(said, key=said.__getitem__)
            right = best == str(event["label"])
            said = f"{best} {said[best] * 100:.0f} %"
        mark = Text("" if right is None else "✓ " if right else "✗ ", "green" if right else "red")
        row = plain(event["version"]), plain(said), mark + plain(event["label"]), plain(event["source"])
        table.add_row(*row)
    return table
