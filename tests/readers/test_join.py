"""Numbers of logs joined to frames by time."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from insitu.config import load
from insitu.errors import ConfigError
from insitu.readers.join import Join, Joined
from insitu.run import run
from insitu.store.runs import StoredRun
from insitu.types import Arrival, Detector, Feature

T0 = 1_658_867_910


class Frames:
    """A frame at each of `at` (s after T0), exposed for 2 s; `own` is in their context already."""

    def __init__(self, *, at: list[float] | None = None, own: float | None = None) -> None:
        self.at, self.own = [0.0, 10.0] if at is None else at, own

    def __call__(self):
        for seq, at in enumerate(self.at):
            yield Arrival(
                source="det",
                data=np.arange(8, dtype="u4"),
                dims=("x",),
                unit="counts",
                time_ns=round((T0 + at) * 10**9),
                duration_ns=2 * 10**9,
                source_seq=seq,
                clock="header",
                context={} if self.own is None else {"pressure": Feature(self.own, "mbar")},
            )


def joined(tmp_path, rows, frames, **said):
    path = tmp_path / "log.csv"
    path.write_text("time,pressure (mbar)\n" + "".join(f"{T0 + t},{v}\n" for t, v in rows))
    reader = Joined(frames, [Join(path, **said)])
    return [a.context["pressure"] for a in reader() if isinstance(a, Arrival)]


ROWS = [(0, 100.0), (10, 120.0), (20, 200.0)]


def test_values_are_interpolated_to_the_middle_of_the_exposure(tmp_path):
    first, second = joined(tmp_path, ROWS, Frames())
    assert first == Feature(102.0, "mbar", sigma=2.0)  # 2 mbar/s, and clocks that agree to 1 s
    assert second == Feature(128.0, "mbar", sigma=8.0)


def test_the_nearest_and_the_previous_row_are_taken_as_said(tmp_path):
    frames = Frames(at=[0.0, 7.0])
    assert [f.value for f in joined(tmp_path, ROWS, frames, method="nearest")] == [100.0, 120.0]
    assert [f.value for f in joined(tmp_path, ROWS, frames, method="previous")] == [100.0, 100.0]
    assert [f.value for f in joined(tmp_path, ROWS, Frames(at=[9.0]), method="previous", at="start")] == [100.0]


def test_no_row_within_the_largest_gap_is_no_value_and_says_so(tmp_path):
    near, far = joined(tmp_path, ROWS, Frames(at=[24.0, 90.0]), max_gap=30.0)
    assert near.value == 200.0
    assert far.value is None
    assert far.why == "no row of log.csv within 30 s"


def test_an_offset_moves_the_log_and_its_uncertainty_that_of_the_values(tmp_path):
    (moved,) = joined(tmp_path, ROWS, Frames(at=[0.0]), offset=-5.0, offset_sigma=0.25)
    assert moved == Feature(112.0, "mbar", sigma=0.5)


def test_what_a_frame_carries_itself_wins(tmp_path):
    assert joined(tmp_path, ROWS, Frames(own=7.0))[0].value == 7.0


def test_the_offset_is_found_from_a_signal_that_both_have(tmp_path):
    def signal(t):
        return 100 + 20 * np.exp(-(((t - 300) / 40) ** 2)) + 9 * np.sin(t / 31)

    class Seen(Frames):
        def __call__(self):
            from dataclasses import replace

            for a in super().__call__():
                t = a.time_ns / 1e9 - T0
                yield replace(a, context={"pressure_seen": Feature(float(signal(t)), "mbar")})

    path = tmp_path / "log.csv"
    late = 17.3  # the log's clock shows less by this
    text = "".join(f"{T0 + t},{signal(t + late):.4f},{t}\n" for t in np.arange(0, 600, 2.0))
    path.write_text("time,pressure_seen (mbar),clock (s)\n" + text)
    reader = Joined(Seen(at=list(np.arange(30.0, 560.0, 5.0))), [Join(path, align="pressure_seen", at="start")])
    found = [a.context["clock"] for a in reader() if isinstance(a, Arrival)]
    assert found[0].value == pytest.approx(30.0 - late, abs=0.3)
    assert found[0].sigma is not None
    assert 0.0 < found[0].sigma < 0.5


def test_signals_that_do_not_resemble_each_other_leave_the_offset(tmp_path, caplog):
    (value,) = joined(tmp_path, ROWS, Frames(at=[0.0]), align="pressure")
    assert value.value == 102.0
    assert "too few" in caplog.text


def test_a_live_frame_waits_for_the_next_row_and_never_longer_than_said(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(f"time,pressure (mbar)\n{T0},100\n")
    live = Detector(name="d", source="det", live=True)

    def write():
        time.sleep(0.3)
        with path.open("a") as file:
            file.write(f"{T0 + 2},110\n")

    thread = threading.Thread(target=write)
    thread.start()
    items = list(Joined(Frames(at=[0.0, 5.0]), [Join(path, hold=4.0, detector=live)])())
    thread.join()
    first, second = (a.context["pressure"] for a in items if isinstance(a, Arrival))
    assert first.value == 105.0, "interpolated with the row that came while it waited"
    assert second.value == 110.0, "the last row, after a wait in vain"
    assert None in items, "a reader that waits does not fall silent"


def test_a_broken_log_costs_its_values_and_never_a_frame(tmp_path, caplog):
    path = tmp_path / "log.csv"
    path.write_text("no,names,of,a,clock\n1,2,3,4,5\n")
    items = [a for a in Joined(Frames(), [Join(path, columns={"pressure": "p"})])() if isinstance(a, Arrival)]
    assert len(items) == 2
    assert items[0].context["pressure"].value is None
    assert "tells no time" in (items[0].context["pressure"].why or "")
    assert "no values are joined" in caplog.text


def test_a_log_in_a_detector_file_is_joined_and_frozen_in_the_run(tmp_path):
    path = tmp_path / "furnace.csv"
    path.write_text("time,T (K)\n" + "".join(f"{T0 + t},{300 + t}\n" for t in range(0, 100, 5)))
    detector = {
        "format": 1,
        "source": "det",
        "dims": ["x"],
        "reader": {"use": f"{__name__}:Frames"},
        "join": [{"path": str(path), "columns": {"temperature": "T"}, "max_gap": "10 s"}],
    }
    recipe = {"format": 1, "detectors": ["d"], "features": [{"use": "totals"}]}
    summary = run(load(recipe, detectors={"d": detector}), data_root=tmp_path / "data")
    path.unlink()
    with StoredRun(Path(summary.path)) as stored:
        frames = list(stored.frames())
    assert [f.context["temperature"] for f in frames] == [
        Feature(301.0, "K", sigma=1.0),
        Feature(311.0, "K", sigma=1.0),
    ]
    assert frames[0].labels["joined"] == "furnace.csv"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({}, "path"),
        ({"path": "nowhere.csv"}, "no log"),
        ({"path": "X", "method": "linear"}, "interpolate"),
        ({"path": "X", "max_gap": 3}, "unit"),
        ({"path": "X", "units": {"p": "furlongs per"}}, "units"),
    ],
)
def test_a_log_that_is_declared_wrongly_is_refused_at_check(tmp_path, row, told):
    (tmp_path / "x.csv").write_text("time,p\n")
    if row.get("path") == "X":
        row = {**row, "path": str(tmp_path / "x.csv")}
    detector = {"format": 1, "source": "det", "dims": ["x"], "reader": {"use": f"{__name__}:Frames"}, "join": [row]}
    with pytest.raises(ConfigError, match=told) as e:
        load({"format": 1, "detectors": ["d"]}, detectors={"d": detector}, purpose="check")
    assert "join" in str(e.value)
