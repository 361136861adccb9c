"""The picture of a run: panels over one time axis, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from insitu.cli.say import clock, trouble
from insitu.cli.series import Mark, Series, Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACTIONS = {"ADAPT": "#0072B2", "PAUSE": "#E69F00", "FINISH": "#009E73", "HALT": "#D00000"}
"""Colours that people with any kind of colour vision tell apart (Okabe and Ito), red for the gravest."""

VERDICTS = {"normal": "#B7DDC9", "change": "#E69F00", "anomaly": "#D55E00", "review": "#CC79A7", "unknown": "#C8C8C8"}
FAR = 5.0
"""Frames that are so many typical steps apart have a gap between them."""
TITLE = 66
"""How many letters of full size a title may have."""
INK, FAINT = "#222222", "#777777"
MANY_MARKS = 40
"""From how many decisions on a rule's repeated lines are drawn thin: a run in `advise` may repeat itself."""


def draw(series: Series, output: Path) -> None:
    """Draws the run into `output`; its suffix tells the format."""
    timed = not series.against and not series.numbered
    scale, unit = _time_unit(float(series.x[-1])) if timed else (1.0, series.x_unit)
    strip = 0.28 + 0.22 * len(series.labels) if series.labels else 0.0
    heights = [3.6, *([1.15] * len(series.traces)), *([strip] if strip else [])]
    figure = Figure(figsize=(11, sum(heights) + 0.18 * len(heights) + 1.5), dpi=130, layout="constrained")
    axes = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    figure.get_layout_engine().set(hspace=0.015, h_pad=0.03)  # type: ignore[union-attr]
    _waterfall(figure, axes, series, scale, shrink=heights[0] / sum(heights))
    for axis, trace in zip(axes[1:], series.traces, strict=False):
        _trace(axis, trace, scale)
    if strip:
        _verdicts(axes[-1], series, scale)
    for k, axis in enumerate(axes):
        _marks(axis, series.marks, scale, on_map=k == 0)
        axis.tick_params(colors=INK, labelsize=8)
    along = series.against or f"time since {clock(series.start_ns)}"
    if series.numbered:
        along = "number of the frame (its time tells no order: the files carry none)"
    axes[-1].set_xlabel(f"{along} ({unit})" if unit else along, color=INK)
    axes[0].set_xlim(*(edge / scale for edge in _edges(series.x)[[0, -1]]))
    figure.align_ylabels(axes)
    _words(figure, axes, series)
    figure.savefig(output)


def _words(figure: Figure, axes: Sequence[Axes], series: Series) -> None:
    """Title, what the run is, and the legend of decisions and verdicts."""
    frames = series.counts["frames"]
    wrong = trouble(frames, series.counts["analysis"])
    ended = "\n".join(wrap(f"{series.ended}: {series.reason}" if series.reason else series.ended, 150))
    lines = f"run {series.uid}   source {series.source}   mode {series.mode}   {frames['stored']:,} frames stored"
    title = series.title or "run"
    size = max(9.0, min(14.0, 14.0 * TITLE / len(title)))  # a long one must not run into the words on its right
    most = int(14.0 / 9.0 * TITLE)
    title = title if len(title) <= most else title[: most - 1] + "…"
    figure.suptitle(title, x=0.01, ha="left", fontsize=size, fontweight="bold", color=INK)
    axes[0].set_title(lines + (f"   ({wrong})" if wrong else "") + f"\n{ended}", loc="left", fontsize=8.5, color=FAINT)
    if series.simulated:
        box = {"facecolor": "#FFD34E", "edgecolor": "none", "pad": 4}
        figure.text(0.985, 0.994, "SIMULATED, no measured data", ha="right", va="top", fontweight="bold", bbox=box)
    seen = [action for action in ACTIONS if any(mark.action == action for mark in series.marks)]
    said = {label for pairs in series.labels.values() for _, label in pairs}
    handles: list[Any] = [Line2D([], [], color=ACTIONS[action], lw=1.8, label=action) for action in seen]
    handles += [Patch(color=color, label=label) for label, color in VERDICTS.items() if label in said]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)


def _waterfall(figure: Figure, axes: Sequence[Axes], series: Series, scale: float, *, shrink: float) -> None:
    """The patterns as a map, square-root colours: weak peaks stay visible beside strong ones."""
    axis, finite = axes[0], series.map[np.isfinite(series.map)]
    low, high = np.percentile(finite, [1, 99.5]) if finite.size else (0.0, 1.0)
    norm = PowerNorm(0.5, vmin=float(low), vmax=float(high if high > low else low + 1))
    x, shown = _with_gaps(series.x, series.map)
    mesh = axis.pcolormesh(
        x / scale, _edges(series.axis), shown, norm=norm, cmap="magma", rasterized=True, shading="flat"
    )
    axis.set_ylabel(series.axis_label.replace("two_theta", r"2$\theta$"), color=INK, fontsize=9)
    bar = figure.colorbar(mesh, ax=list(axes), location="right", anchor=(0, 1), shrink=shrink, aspect=22, pad=0.01)
    unit = f" ({series.unit})" if series.unit else ""
    bar.set_label(f"{series.map_name}{unit}\nsquare-root scale", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)  # type: ignore[operator]


def _trace(axis: Axes, trace: Trace, scale: float) -> None:
    """One feature: points joined by a line, the band is one standard uncertainty either side, gaps where none."""
    x = trace.x / scale
    few = len(x) <= 60
    axis.plot(x, trace.value, color="#1B4F8A", lw=1.1, marker="o" if few else None, ms=3)
    sigma = np.nan_to_num(trace.sigma)
    if sigma.any():
        axis.fill_between(x, trace.value - sigma, trace.value + sigma, color="#1B4F8A", alpha=0.25, lw=0)
    missing = ~np.isfinite(trace.value)
    if missing.any():
        axis.plot(
            x[missing], np.full(missing.sum(), 0.04), transform=axis.get_xaxis_transform(), ls="", marker="|",
            ms=5, color="#D55E00", clip_on=False,
        )  # fmt: skip
        axis.text(
            0.995, 0.9, f"no value in {missing.sum():,} frames (ticks)", transform=axis.transAxes, ha="right",
            va="top", fontsize=7.5, color="#D55E00", zorder=7,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
        )  # fmt: skip
    axis.set_ylabel(f"{trace.key}\n({trace.unit})" if trace.unit else trace.key, fontsize=8, color=INK)
    axis.grid(visible=True, axis="both", color="#E6E6E6", lw=0.6)
    axis.set_axisbelow(True)
    axis.ticklabel_format(axis="y", useOffset=False)
    axis.locator_params(axis="y", nbins=4)
    axis.margins(y=0.12)
    axis.spines[["top", "right"]].set_visible(False)


def _verdicts(axis: Axes, series: Series, scale: float) -> None:
    """One bar a model, coloured by what it said."""
    for row, (_, pairs) in enumerate(series.labels.items()):
        edges = _edges(np.array([x for x, _ in pairs])) / scale
        for label in dict.fromkeys(label for _, label in pairs):
            at = [i for i, (_, said) in enumerate(pairs) if said == label]
            spans = [(edges[a], edges[b + 1] - edges[a]) for a, b in _stretches(at)]
            axis.broken_barh(spans, (row - 0.38, 0.76), color=VERDICTS.get(label, "#888888"), lw=0)
    axis.set_yticks(range(len(series.labels)), list(series.labels))
    axis.set_ylim(len(series.labels) - 0.5, -0.5)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _marks(axis: Axes, marks: Sequence[Mark], scale: float, *, on_map: bool) -> None:
    """A line through every panel where a decision was made, a tint as long as it was repeated; the first of each kind
    has its name."""
    thin = len(marks) > MANY_MARKS
    cover = 0.12 if on_map else 0.07
    named: set[tuple[str, str]] = set()
    for mark in marks:
        first = (mark.action, mark.rule) not in named
        named.add((mark.action, mark.rule))
        color = ACTIONS.get(mark.action, FAINT)
        axis.axvline(mark.x / scale, color=color, lw=1.3 if first or not thin else 0.4, alpha=0.9, zorder=5)
        if mark.until > mark.x:
            axis.axvspan(mark.x / scale, mark.until / scale, color=color, lw=0, alpha=cover, zorder=4)
        if on_map and first:
            axis.annotate(
                f"{mark.action}  n {mark.n}", (mark.x / scale, 0.02), xycoords=("data", "axes fraction"),
                xytext=(-3, 0), textcoords="offset points", rotation=90, ha="right", va="bottom", fontsize=8,
                fontweight="bold", color="white", bbox={"facecolor": color, "edgecolor": "none", "pad": 1.5},
                zorder=6,
            )  # fmt: skip


def _stretches(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of neighbouring indices as (first, last).

    >>> _stretches([0, 1, 2, 5, 7, 8])
    [(0, 2), (5, 5), (7, 8)]
    """
    stretches: list[tuple[int, int]] = []
    for i in indices:
        if stretches and stretches[-1][1] == i - 1:
            stretches[-1] = (stretches[-1][0], i)
        else:
            stretches.append((i, i))
    return stretches


def _edges(centres: np.ndarray) -> np.ndarray:
    """Edges of cells around increasing centres, shape (n + 1,); equal neighbours are allowed.

    >>> _edges(np.array([0.0, 1.0, 3.0]))
    array([-0.5,  0.5,  2. ,  4. ])
    """
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.array([2 * centres[0] - middle[0], *middle, 2 * centres[-1] - middle[-1]])


def _with_gaps(x: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of cells (n + 1,) and their values (points, n), with an empty cell where frames lie far apart: nothing
    was measured there.

    >>> edges, shown = _with_gaps(np.array([0.0, 1.0, 2.0, 30.0]), np.zeros((1, 4)))
    >>> edges.tolist(), shown.tolist()
    ([-0.5, 0.5, 1.5, 2.5, 29.5, 30.5], [[0.0, 0.0, 0.0, nan, 0.0]])
    """
    steps = np.diff(x)
    if len(x) < 3 or not (typical := float(np.median(steps))) > 0:
        return _edges(x), values
    wide = steps > FAR * typical
    half = np.where(wide, typical, steps) / 2
    half = np.array([half[0], *half, half[-1]])
    edges, columns = [x[0] - half[0]], []
    for k in range(len(x)):
        edges.append(x[k] + half[k + 1])
        columns.append(values[:, k])
        if k < len(wide) and wide[k]:
            edges.append(x[k + 1] - half[k + 1])
            columns.append(np.full(len(values), np.nan))
    return np.array(edges), np.array(columns).T


def _time_unit(length_s: float) -> tuple[float, str]:
    """Seconds in the unit that suits a length, and its name."""
    if length_s < 300:
        return 1.0, "s"
    return (60.0, "min") if length_s < 3 * 3600 else (3600.0, "h")
