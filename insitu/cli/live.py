"""The live view of a run on stderr: a screen of rich on a terminal, else one plain line a second.

`watching(...)` gives the observer that `insitu.run.run` calls a few times a second with its status.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from insitu.cli.say import note, quantity, size, span, trouble

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

Observer = Callable[[dict[str, Any]], None]

ACTION_STYLE = {
    "CONTINUE": "green",
    "ADAPT": "bold cyan",
    "PAUSE": "bold yellow",
    "FINISH": "bold green",
    "HALT": "bold white on red",
}
VERDICT_STYLE = {"normal": "green", "anomaly": "bold red", "change": "bold yellow", "review": "bold magenta"}
STATE_STYLE = {"running": "bold green", "paused": "bold yellow", "held": "bold yellow", "stopping": "bold yellow"}
SHOWN_FEATURES, LEAST_FEATURES = 12, 2
OTHER_ROWS = 13
"""Rows of the screen that are always there: frame, counts, blank lines, the number of the last frame."""
LINE_EVERY_S = 1.0
REPEAT_EVERY_S = 10.0
"""How often a rule that says the same again is quoted."""


@contextmanager
def watching(*, shown: bool = True) -> Iterator[Observer | None]:
    """The observer to hand to a run; None where nothing should be shown."""
    if not shown:
        yield None
    elif sys.stderr.isatty():
        with _screen() as observer:
            yield observer
    else:
        yield Lines()


@contextmanager
def _screen() -> Iterator[Observer]:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False) as live:
        yield lambda status: live.update(screen(status, live.console.size.height), refresh=True)


class Lines:
    """Writes at most one line a second, and at once when the state or the last action changes."""

    def __init__(self, write: Callable[[str], None] = note, now: Callable[[], float] = time.monotonic) -> None:
        self._write, self._now = write, now
        self._next = 0.0
        self._state, self._notes = "", 0
        self._action: tuple[Any, ...] | None = None
        self._told_n: int | None = None
        self._repeat = 0.0

    def __call__(self, status: Mapping[str, Any]) -> None:
        if not self._state:
            self._write(opening(status))
        notes = status.get("notes") or []
        for text in notes[self._notes :]:
            self._write(f"note: {text}")
        self._notes = len(notes)
        self._tell(status.get("last_action"))
        if self._now() >= self._next or status["state"] != self._state:
            self._next = self._now() + LINE_EVERY_S
            self._state = status["state"]
            self._write(line(status))

    def _tell(self, action: Mapping[str, Any] | None) -> None:
        """The last action, where it is new; one that a rule repeats frame after frame only now and then."""
        if not action or action.get("n") == self._told_n:
            return
        said_now = (action.get("action"), action.get("rule"))
        if said_now == self._action and self._now() < self._repeat:
            return
        self._action, self._told_n, self._repeat = said_now, action.get("n"), self._now() + REPEAT_EVERY_S
        self._write(said(action))


def opening(status: Mapping[str, Any]) -> str:
    """The first plain line: which run, where, and whether it is simulated."""
    simulated = " [SIMULATED, no measured data]" if status.get("simulated") else ""
    return f"{status['title'] or 'run'}{simulated}: run {status['uid']} in {status['path']}, mode {status['mode']}"


def line(status: Mapping[str, Any]) -> str:
    """One plain line about where the run stands."""
    frames, analysis = status["frames"], status["analysis"]
    parts = [
        f"{status['state']} {span(status['elapsed_s'])}",
        f"{frames['stored']:,} stored",
        f"{analysis['analysed']:,} analysed",
        f"{status['rate_hz']:.1f} Hz",
    ]
    edge = (status.get("latency_ms") or {}).get("edge") or {}
    if edge.get("p99") is not None:
        parts.append(f"p99 {edge['p99']:.3g} ms")
    if wrong := trouble(frames, analysis):
        parts.append(wrong)
    if status.get("last"):
        parts += [f"{key} {quantity(f)}" for key, f in list(status["last"].get("features", {}).items())[:2]]
    return ", ".join(parts)


def said(action: Mapping[str, Any]) -> str:
    """A decision as one sentence."""
    rule = f" by {action['rule']}" if action.get("rule") else ""
    where = f" at n {action['n']}" if action.get("n") is not None else ""
    return f"{action['action']}{rule}{where}: {action.get('reason') or 'no reason given'}"


def screen(status: Mapping[str, Any], height: int = 60) -> RenderableType:
    """The whole view as one panel of rich. What matters most stands on top: a low terminal shows fewer features."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    parts: list[RenderableType] = []
    if status.get("simulated"):
        parts.append(Text(" SIMULATED: computed patterns, no measured data ", style="bold black on yellow"))
    parts.append(_counts(status))
    action = status.get("last_action")
    if action:
        parts += [Text(), Text("last action  ", style="bold").append(said(action), ACTION_STYLE[action["action"]])]
    if status["state"] == "held":
        parts += [Text(), Text("Held by the operator: `insitu release` lets it go on.", style="bold yellow")]
    notes = [Text(f"note: {text}", style="yellow") for text in (status.get("notes") or [])[-3:]]
    taken = OTHER_ROWS + 3 * len(notes) + (4 if action else 0) + len((status.get("last") or {}).get("verdicts") or ())
    parts += [*notes, Text(), _last(status, min(SHOWN_FEATURES, max(LEAST_FEATURES, height - taken)))]
    title = Text.assemble(
        (status["title"] or "run", "bold"),
        f"  {status['mode']}  ",
        (status["state"].upper(), STATE_STYLE.get(status["state"], "bold")),
    )
    subtitle = f"{status['path']}, Ctrl-C ends it in order"
    return Panel(
        Group(*parts), title=title, title_align="left", subtitle=Text(subtitle), subtitle_align="left", padding=(0, 1)
    )


def _counts(status: Mapping[str, Any]) -> Table:
    """Frames, analysis, latency, memory and decisions: one row each."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    frames, analysis = status["frames"], status["analysis"]
    grid.add_row("frames", _frames(status))
    grid.add_row("stored", f"{frames['stored']:,}   queued {status.get('queued', 0):,}")
    grid.add_row("analysed", f"{analysis['analysed']:,}   waiting {analysis.get('pending', 0):,}")
    grid.add_row("latency", _latency(status))
    grid.add_row("in flight", f"{size(status.get('in_flight_bytes', 0))} of {size(status.get('in_flight_limit', 0))}")
    grid.add_row("decisions", _decisions(status.get("decisions") or {}))
    wrong = trouble(frames, analysis)
    grid.add_row("trouble", f"[bold red]{wrong}[/]" if wrong else "[dim]none[/]")
    return grid


def _frames(status: Mapping[str, Any]) -> str:
    received = status["frames"]["received"]
    return f"{received:,} received   {status['rate_hz']:.1f} Hz   {span(status['elapsed_s'])}"


def _latency(status: Mapping[str, Any]) -> str:
    edge = (status.get("latency_ms") or {}).get("edge") or {}
    if edge.get("p50") is None:
        return "[dim]no decision yet[/]"
    return f"frame to decision  p50 {edge['p50']:.3g}   p99 {edge['p99']:.3g}   max {edge['max']:.3g} ms"


def _decisions(counts: Mapping[str, int]) -> Text:
    from rich.text import Text

    text = Text()
    for action, style in ACTION_STYLE.items():
        if counts.get(action):
            text.append(f"{action} {counts[action]:,}", style).append("   ")
    return text or Text("none yet", style="dim")


def _last(status: Mapping[str, Any], most: int) -> RenderableType:
    """What the newest analysed frame showed: verdicts with reasons, features with units."""
    from rich.table import Table
    from rich.text import Text

    last = status.get("last")
    if not last:
        return Text("waiting for the first frame", style="dim")
    features, verdicts = last.get("features") or {}, last.get("verdicts") or {}
    shown = list(features.items())[:most]
    grid = Table.grid(padding=(0, 2))
    # names are never cut: rich would share out a narrow terminal among all columns
    grid.add_column(style="bold", no_wrap=True, min_width=max(map(len, ["last frame", *dict(shown), *verdicts])))
    grid.add_column(overflow="ellipsis", no_wrap=True)
    grid.add_row("last frame", f"{last['source']}/{last['seq']}  (n {last['n']})")
    for name, verdict in verdicts.items():
        label = verdict["label"]
        text = Text(label, style=VERDICT_STYLE.get(label, "")).append(f"  {verdict.get('reason') or ''}", "default")
        grid.add_row(name, text)
    for key, feature in shown:
        grid.add_row(key, Text(quantity(feature), style="" if feature.get("value") is not None else "yellow"))
    if len(features) > most:
        grid.add_row("", Text(f"and {len(features) - most} more", style="dim"))
    return grid
