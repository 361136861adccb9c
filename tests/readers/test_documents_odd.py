"""Documents as no writer should make them, and as some do: right frames, or a message that says what is wrong."""

import time
from typing import Any

import numpy as np
import pytest

from insitu.config import load
from insitu.readers.documents import Documents
from insitu.run import LiveRun
from insitu.store.runs import StoredRun
from insitu.types import Arrival, Invalid
from tests.readers.test_document_assets import hdf5
from tests.readers.told import BEGIN, STOP, Named, datum, described, event, frames, pointed, read, reasons

A = np.arange(20.0).reshape(4, 5)
PLAIN = described([4, 5], external=None)
TIME = time.time()


def page(told: list[Named], **more: Any) -> Named:
    """Events as one page."""
    events = [d for _, d in told]
    columns = {part: {k: [e[part][k] for e in events] for k in events[0][part]} for part in ("data", "timestamps")}
    told_of = {key: [e[key] for e in events] for key in ("uid", "seq_num", "time")}
    return "event_page", {"descriptor": "d", "filled": {}, **told_of, **columns, **more}


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (A, "<u2", A),
        (A.astype(">i4"), None, A.astype("i4")),
        (A.tolist(), "<f4", A.astype("f4")),
        ((A + 0.5).tolist(), "<u2", A + 0.5),
        ((A - 9).astype(int).tolist(), "<u2", (A - 9).astype("i8")),
        ((A * 1e9).astype(int).tolist(), "<u2", (A * 1e9).astype("i8")),
        (A.tolist(), "no type", A),
        ((A > 3).tolist(), "|b1", A > 3),
        (A[0].tolist(), "<f8", A[0]),
        (A[:, :1], None, A[:, :1]),
        (np.full((2, 4, 5), 3, "f2"), None, np.full((4, 5), 3, "f2")),
        (np.zeros((40, 50, 3), "u1"), None, np.zeros((40, 50, 3), "u1")),
    ],
)
def test_an_array_of_an_event_is_the_frame_it_is_whatever_its_data_key_says(value, dtype, expected):
    (*found,) = frames([BEGIN, described([9, 9], external=None, dtype_numpy=dtype), event(1, value), STOP])
    assert all(np.array_equal(f, expected) for f in found)
    assert found[0].dtype == expected.dtype


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (3.5, "one number and no array"),
        (np.zeros((0, 5)), "it is empty: its shape is [0, 5]"),
        (np.array(["a", "b"]), "a frame is made of numbers"),
        (np.zeros(3, "c8"), "a frame is made of numbers"),
        ([[1.0, 2.0], [3.0]], "its rows are not of one length"),
        ([1.0, None], "a frame is made of numbers"),
        ("no datum", "its datum 'no datum' has not come"),
    ],
)
def test_what_is_no_frame_is_told_and_the_next_one_is_read(value, why):
    found = read([BEGIN, PLAIN, event(1, value), event(2, A), STOP])
    assert why in getattr(found[0], "reason", "")
    assert [type(i) for i in found] == [Invalid, Arrival]
    assert [i.source_seq for i in found] == [0, 1]


def without(told: Named, key: str) -> Named:
    return told[0], {k: v for k, v in told[1].items() if k != key}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (without(PLAIN, "data_keys"), "descriptor d: it has no 'data_keys'"),
        (without(PLAIN, "run_start"), "it has no 'run_start'"),
        (without(event(1, A), "data"), "event e1: it has no 'data'"),
        (without(event(1, A), "descriptor"), "it has no 'descriptor'"),
        (event(1, A, uid="never"), "its descriptor 'never' has not come, or its run is over"),
        (without(datum(0, 1), "indices"), "stream_datum r/0: it has no 'indices'"),
        (datum(0, 1, resource="never"), "its stream_resource 'never' has not come, or its run is over"),
        (datum(3, 1), "indices are 3 to 1"),
        (datum(-1, 1), "indices are -1 to 1"),
        (datum(0, 10**12), "expected whole numbers from 0 on"),
        (datum(0, 1.5), "indices are 0 to 1.5"),
        (page([event(1, A), event(2, A)], seq_num=[1, 2, 3]), "has 2 values, and there are 3 events"),
        (("stop", {"uid": "s", "run_start": "never"}), "its start document 'never' has not come"),
        (("event", {"descriptor": ["d"]}), "TypeError"),
    ],
)
def test_a_document_that_lacks_something_names_it_and_those_behind_it_are_read(tmp_path, told, why):
    path = hdf5(tmp_path / "a.h5", A[np.newaxis])
    found = read([BEGIN, PLAIN, pointed(path), told, event(9, A), STOP])
    assert why in next(i.reason for i in found if isinstance(i, Invalid))
    assert sum(isinstance(i, Arrival) for i in found) == 1
    numbers = [int(i.source_seq or 0) for i in found]
    assert numbers == sorted(numbers)
    lacking = 3 if told[0] == "event_page" else 1
    assert numbers[-1] == lacking, "what was lost has numbers too"


@pytest.mark.parametrize("when", [float("nan"), float("inf"), -5.0, 1e30, None, "now", 0])
def test_a_time_that_is_none_gives_way_to_ours_and_the_frame_says_so(when):
    (found,) = read([BEGIN, PLAIN, event(1, A, time=when), STOP])
    assert isinstance(found, Arrival)
    assert found.clock == "arrival"
    assert abs(found.time_ns / 1e9 - time.time()) < 60
    assert repr(when) in found.labels["clock_warning"]


@pytest.mark.parametrize(("off_s", "side"), [(3600.0, "in the future"), (-90_000.0, "in the past"), (-3.0, "")])
def test_a_time_far_from_ours_is_kept_and_told_with_its_uncertainty(off_s, side):
    (found,) = read([BEGIN, PLAIN, event(1, A, time=time.time() + off_s), STOP])
    assert isinstance(found, Arrival)
    assert found.clock == "ioc"
    assert side in found.labels.get("clock_warning", "")
    assert (found.clock_sigma_ns > 3.5e12) == bool(side)


def test_pages_give_what_their_events_do_and_of_each_only_what_is_wrong_is_lost():
    events = [event(k + 1, A + k, m=k) for k in range(3)]
    assert np.array_equal(frames([BEGIN, PLAIN, page(events), STOP]), frames([BEGIN, PLAIN, *events, STOP]))
    found = read([BEGIN, PLAIN, page([event(1, A), event(2, 5.0), event(3, A)]), STOP])
    assert [type(i) for i in found] == [Arrival, Invalid, Arrival]


def test_arrays_in_an_event_and_frames_beside_it_go_together_by_the_number_of_the_event(tmp_path):
    """Two detectors in one stream, a motor, and rows that come with a later event than their own."""
    path, other = hdf5(tmp_path / "a.h5", np.stack([A + k for k in range(4)])), hdf5(tmp_path / "b.h5", np.ones((9, 2)))
    more = {"b": {"shape": [2], "external": "STREAM:"}, "m": {"shape": [], "units": "K"}, "wave": {"shape": [3]}}
    wave = [1, 2, 3]
    told = [
        BEGIN, described([4, 5], more=more), pointed(path), pointed(other, uid="o", key="b"),
        datum(0, 1, seq=1), datum(0, 1, resource="o", seq=1), event(1, m=300.0, wave=wave),
        event(2, m=301.0, wave=wave),  # its row is late
        datum(1, 2, seq=3), datum(1, 2, resource="o", seq=3), datum(2, 3, seq=3), event(3, m=302.0, wave=wave),
        datum(3, 4, seq=4), event(4, m=303.0, wave=wave), STOP,
    ]  # fmt: skip
    found = [a for a in read(told) if isinstance(a, Arrival)]
    assert [a.data[0, 0] for a in found] == [0, 1, 2, 3]
    assert [a.context["m"].value if "m" in a.context else None for a in found] == [300.0, None, 302.0, 303.0]
    assert [a.clock for a in found] == ["ioc", "arrival", "ioc", "ioc"]


def test_rows_that_are_told_at_once_wait_each_for_its_own_event(tmp_path):
    path = hdf5(tmp_path / "a.h5", np.stack([A + k for k in range(4)]))
    events = [event(k + 1, m=300.0 + k) for k in range(4)]
    more = {"m": {"shape": []}}
    for seq in (1, 0):  # nobody says which event a row belongs to: one after the other
        told = [BEGIN, described([4, 5], more=more), pointed(path), datum(0, 4, seq=seq), *events, STOP]
        found = [a for a in read(told) if isinstance(a, Arrival)]
        assert [(a.data[0, 0], a.context["m"].value) for a in found] == [(k, 300.0 + k) for k in range(4)]


def test_gaps_in_indices_are_lost_frames_and_other_streams_and_configurations_are_kept_apart(tmp_path):
    path = hdf5(tmp_path / "a.h5", np.stack([A + k for k in range(9)]))
    second = described([4, 5], uid="d2", configuration={"img": {"data": {"gain": 2}}})
    told = [
        BEGIN, described([4, 5]), described([4, 5], uid="dark", name="dark"), pointed(path), pointed(path, uid="q"),
        datum(2, 4), datum(6, 7), datum(0, 5, uid="dark", resource="q"), second, datum(7, 9, uid="d2"), STOP,
    ]  # fmt: skip
    found = [a for a in read(told) if isinstance(a, Arrival)]
    assert [a.data[0, 0] for a in found] == [2, 3, 6, 7, 8], "none of the darks"
    assert [a.source_seq for a in found] == [0, 1, 4, 5, 6], "two rows were never named"


def test_what_comes_after_the_stop_is_told_and_nothing_is_kept_of_it(tmp_path):
    path = hdf5(tmp_path / "a.h5", A[np.newaxis])
    late = [BEGIN, described([4, 5]), pointed(path), datum(0, 1), STOP, datum(0, 1), STOP, event(1, A)]
    why = reasons(late)
    assert len(why) == 3
    assert all("its run is over" in text for text in why)
    assert reasons([event(1, A), BEGIN, PLAIN]) == ["event e1: its descriptor 'd' has not come, or its run is over"]


def test_a_run_stores_every_frame_of_odd_documents_counts_the_others_and_goes_on(tmp_path):
    bench = {"format": 1, "source": "det", "reader": {"use": "documents", "data": "img", "runs": 1}}
    recipe = {"format": 1, "title": "t", "detectors": ["bench"], "features": [{"use": "totals"}]}
    live = LiveRun(load(recipe, detectors={"bench": bench}), data_root=tmp_path)
    reader: Any = live.readers["det"]
    odd = [
        A.astype(">f4"), np.full((3, 4), np.nan), A.astype("f2"), A > 2, np.zeros((7, 8, 3), "u1"), A[0], 1.0,
        np.array([1 + 2j]), np.zeros((2, 4, 5), "u8"), np.full((2, 2), 2**63, "u8"), A,
    ]  # fmt: skip
    for name, document in [BEGIN, PLAIN, *(event(k + 1, v, time=TIME + k) for k, v in enumerate(odd)), STOP]:
        reader.feed(name, document)
    summary = live.wait(60)
    assert summary.ended == "complete"
    assert {k: summary.frames[k] for k in ("stored", "invalid", "lost")} == {"stored": 10, "invalid": 2, "lost": 0}
    with StoredRun(live.path) as stored:
        held = [f.data for f in stored.frames()]
    assert np.array_equal(held[0], A)
    assert np.array_equal(held[-1], A)


def test_what_is_understood_of_a_plan_does_not_lose_its_place_to_frames(tmp_path):
    """A full queue costs frames; the beginning of the next plan has room of its own."""
    reader = Documents(queue=4, data="camera")
    for k in range(50):
        reader.feed("event", {"descriptor": "old", "seq_num": k, "data": {}, "time": 0.0})
    for name in ("stop", "start", "descriptor"):
        reader.feed(name, {"uid": name})
    reader.feed("event", {"descriptor": "new", "seq_num": 1, "data": {}, "time": 0.0})
    assert [name for name, _ in reader.left()] == ["event"] * 4 + ["stop", "start", "descriptor"]
    assert reader.dropped == 47
