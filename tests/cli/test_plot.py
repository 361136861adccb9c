"""`insitu plot`: what is collected for the picture, and that the picture shows it."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from insitu.cli.figure import _edges, _with_gaps, draw
from insitu.cli.series import _marks, _Place, _thin, _timeless, collect
from insitu.store.runs import StoredRun


@pytest.fixture
def series(halted):
    with StoredRun(halted) as run:
        return collect(run, run)


def test_the_map_holds_every_stored_frame_in_order_of_time(series, halted):
    with StoredRun(halted) as run:
        frames = list(run.frames())
    assert series.map.shape == (400, len(frames))
    assert np.all(np.diff(series.x) > 0)
    assert series.map.max() == max(frame.data.max() for frame in frames)
    assert (series.axis_label, series.unit) == ("two_theta (deg)", "counts, highest of 3 points")
    assert series.simulated


def test_no_narrow_peak_is_lost_when_the_map_is_coarser_than_the_pattern(series, halted):
    with StoredRun(halted) as run:
        frame = run.frame("det", 3)
    strongest = frame.axes["two_theta"].values[frame.data.argmax()]
    row = series.map[:, 3].argmax()
    assert series.map[row, 3] == frame.data.max()
    assert abs(series.axis[row] - strongest) < 0.1  # a row is 0.1 deg: (60.95 - 20) / 400


def test_temperature_comes_first_and_the_judged_feature_next(series):
    assert [trace.key for trace in series.traces][:2] == ["temperature", "peak1_height"]
    height = series.traces[1]
    assert height.unit == "counts"
    assert np.isfinite(height.sigma).any()


def test_decisions_and_verdicts_stand_at_the_time_of_their_frame(series, planted):
    first = series.marks[0]
    assert (first.action, first.n) == ("HALT", planted + 1)
    assert first.x == pytest.approx(series.x[planted + 1])
    labels = dict(series.labels["phase"])
    assert labels[series.x[planted - 2]] == "normal"
    assert labels[series.x[planted - 1]] == "anomaly"


def test_a_run_can_be_drawn_against_temperature(halted):
    with StoredRun(halted) as run:
        series = collect(run, run, against="temperature")
    assert (series.x_unit, series.x[0]) == ("K", 320.0)
    assert "temperature" not in [trace.key for trace in series.traces]


def test_a_long_run_is_thinned_evenly_with_both_ends_kept():
    assert _thin(5, 10) == [0, 1, 2, 3, 4]
    chosen = _thin(20_000, 1000)
    assert (len(chosen), chosen[0], chosen[-1]) == (1000, 0, 19_999)
    assert set(np.diff(chosen)) <= {20, 21}


def test_edges_lie_between_the_centres():
    assert list(_edges(np.array([1.0]))) == [0.5, 1.5]
    assert list(_edges(np.array([0.0, 2.0, 3.0]))) == [-1.0, 1.0, 2.5, 3.5]


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_picture_is_written_in_the_format_of_its_name(insitu, halted, tmp_path, suffix):
    said = insitu("plot", halted, "-o", tmp_path / f"run{suffix}", "-f", "peak1_height", "--json")
    assert said.code == 0, said.err
    body = said.body
    assert body.keys() == {"run_uid", "output", "source", "frames", "features"}
    assert body["features"] == ["peak1_height"]
    head = (tmp_path / f"run{suffix}").read_bytes()[:300]
    assert {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<svg"}[suffix] in head


def test_the_picture_says_that_it_is_simulated_and_names_the_run(halted, tmp_path):
    import matplotlib as mpl

    with StoredRun(halted) as run, mpl.rc_context({"svg.fonttype": "none"}):
        draw(collect(run, run), tmp_path / "run.svg")
    text = (tmp_path / "run.svg").read_text()
    assert "SIMULATED" in text
    assert halted.name in text
    assert "HALT" in text
    assert "peak1_height" in text


def test_a_derived_run_is_drawn_over_the_frames_it_was_made_from(insitu, halted, tmp_path):
    derived = insitu("reanalyse", halted, "--json").body["path"]
    body = insitu("plot", derived, "-o", tmp_path / "run.png", "--json").body
    with StoredRun(halted) as run:
        assert body["frames"] == run.counts()["frames"]["stored"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-f", "no_such_*"), "peak1_height"),
        (("--against", "pressure"), "temperature"),
        (("--source", "dot"), "det"),
        (("-o", "run.jpeg2000"), ".png"),
    ],
)
def test_what_cannot_be_drawn_is_told_with_what_can(insitu, halted, tmp_path, arguments, told):
    given = arguments if "-o" in arguments else (*arguments, "-o", tmp_path / "run.png")
    said = insitu("plot", halted, *given)
    assert said.code == 2
    assert told in said.err


def test_an_existing_picture_is_not_replaced_unasked(insitu, halted, tmp_path):
    (tmp_path / "run.png").write_bytes(b"mine")
    assert insitu("plot", halted, "-o", tmp_path / "run.png").code == 2
    assert (tmp_path / "run.png").read_bytes() == b"mine"


def test_without_matplotlib_the_extra_is_named(insitu, halted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = insitu("plot", halted, "-o", tmp_path / "run.png", "--json")
    assert said.code == 2
    assert said.body["error"]["kind"] == "missing_extra"
    assert "insitu[plot]" in said.body["error"]["remedy"]


def told(n: int, action: str, rule: str = "r") -> dict:
    return {"n": n, "seq": n, "time_ns": n, "decision": {"action": action, "rule": rule}}


def test_a_decision_that_is_repeated_is_one_mark_that_lasts():
    records = [told(0, "CONTINUE"), *(told(n, "HALT") for n in (1, 2, 3)), told(4, "PAUSE"), told(5, "CONTINUE")]
    marks = _marks([*records, told(6, "HALT")], _Place(0, "", numbered=True))
    assert [(m.action, m.x, m.until, m.n) for m in marks] == [("HALT", 1, 3, 1), ("PAUSE", 4, 4, 4), ("HALT", 6, 6, 6)]


@pytest.mark.parametrize(
    ("times", "clocks", "timeless"),
    [
        ([5, 5, 5], "header", True),  # nobody can tell them apart
        ([5, 4, 6], "arrival", True),  # when files were written says nothing about when they were measured
        ([5, 4, 6], "header", False),  # measured in another order than read: a time axis shows it
        ([4, 5, 6], "arrival", False),
        ([5], "arrival", False),
    ],
)
def test_frames_are_numbered_where_their_times_tell_no_order(times, clocks, timeless):
    assert _timeless([{"time_ns": time, "clock": clocks} for time in times]) == timeless


def test_files_without_times_are_drawn_by_number_and_without_a_warning(insitu, tmp_path):
    folder = tmp_path / "patterns"
    folder.mkdir()
    for i in range(4):
        path = folder / f"p{i}.xy"
        path.write_text("".join(f"{x / 10} {x + i}\n" for x in range(100, 160)))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    run = insitu("run", "xrd_1d", "--input", folder, "--data-root", tmp_path, "--json").body["path"]
    with StoredRun(Path(run)) as stored:
        series = collect(stored, stored)
    assert series.numbered
    assert list(series.x) == [0, 1, 2, 3]
    said = insitu("plot", run, "-o", tmp_path / "run.png")
    assert (said.code, said.err) == (0, "")


def test_a_long_pause_between_frames_is_left_empty_on_the_map():
    edges, shown = _with_gaps(np.array([0.0, 1, 2, 3, 50, 51]), np.ones((2, 6)))
    assert len(edges) == shown.shape[1] + 1
    assert np.all(np.diff(edges) > 0)
    assert np.isnan(shown).all(axis=0).tolist() == [False] * 4 + [True] + [False] * 2
    assert (edges[4], edges[5]) == (3.5, 49.5)
