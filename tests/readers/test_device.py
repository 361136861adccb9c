"""Frames of a device come by the session's feed; whatever comes with them, the reader goes on."""

from collections.abc import Callable

import numpy as np
import pytest

from insitu.config import load
from insitu.errors import ConfigError
from insitu.readers.device import FRAME, Device
from insitu.readers.documents import Documents
from insitu.testing import ReaderContract, items
from insitu.types import Arrival, Detector, Invalid

START = {"uid": "plan-1", "sample": "nickel", "scan_id": 7}


def frame(number: int, **more) -> dict:
    data = np.full((4, 3), number, "u2")
    data.flags.writeable = False
    return {
        "source": "det", "series": "s", "number": number, "data": data, "dims": ("y", "x"), "unit": "counts",
        "time_ns": 10**18 + number, "context": {"furnace-T": (300.0 + number, "K")}, **more,
    }  # fmt: skip


def fed(*documents: tuple[str, dict]) -> Device:
    reader = Device()
    for name, document in documents:
        reader.feed(name, document)
    reader.close()
    return reader


class TestContract(ReaderContract):
    repeatable = False

    @pytest.fixture
    def make(self) -> Callable[[], Device]:
        return lambda: fed((FRAME, frame(0)), (FRAME, frame(1)), (FRAME, frame(2, why="no light", data=None)))


def test_a_frame_has_the_uid_and_labels_of_the_plan_that_goes_on_and_what_is_wrong_is_told():
    stop = {"run_start": "plan-1", "uid": "x"}
    found = items(
        fed(
            (FRAME, frame(0)), ("start", START), (FRAME, frame(1)), (FRAME, frame(2, why="no light")),
            (FRAME, frame(3, dims=("y",))), (FRAME, {"source": "det", "number": 4}), (FRAME, frame(5, source="other")),
            ("event", {"uid": "e"}), ("stop", stop), (FRAME, frame(6)),
        )
    )  # fmt: skip
    arrivals = [a for a in found if isinstance(a, Arrival)]
    assert [(a.source_seq, a.source_run_uid) for a in arrivals] == [(0, ""), (1, "plan-1"), (6, "")]
    assert arrivals[1].labels == {"sample": "nickel", "scan_id": "7"}
    assert arrivals[1].context["furnace_t"].value == 301.0
    assert arrivals[1].series == "s"
    wrong = [a for a in found if isinstance(a, Invalid)]
    assert [a.source_seq for a in wrong] == [2, 3, 4]
    assert "no light" in wrong[0].reason
    assert "2 dimensions" in wrong[1].reason


def test_a_full_queue_never_holds_anybody_up_and_what_waits_goes_to_the_next_reader():
    reader = Device(queue=2)
    for number in range(4):
        reader.feed(FRAME, frame(number))
    assert (reader.dropped, reader.waiting(), reader.waits()) == (2, 2, True)
    taken = reader()
    first = next(taken)
    assert isinstance(first, Arrival)
    assert [document["number"] for _, document in reader.left()] == [0, 1], "the one in hand was not taken yet"


def test_a_reader_of_documents_in_the_same_session_leaves_them_alone():
    reader = Documents(data="camera")
    reader.feed(FRAME, frame(0))
    assert (reader.waiting(), reader.dropped) == (0, 0)


def test_the_detector_file_declares_axes_and_a_wrong_queue_is_refused():
    detector = Detector(name="d", source="det", dims=("y", "x"))
    from insitu.types import Feature

    reader = Device(axes={"x": {"start": Feature(1.0, "mm"), "step": Feature(0.5, "mm")}}, detector=detector)
    reader.feed(FRAME, frame(0))
    reader.close()
    (found,) = (a for a in items(reader) if isinstance(a, Arrival))
    assert found.axes["x"].values.tolist() == [1.0, 1.5, 2.0]
    bench = {"format": 1, "source": "det", "reader": {"use": "device", "queue": 0}}
    with pytest.raises(ConfigError, match="a queue of 0"):
        load({"format": 1, "title": "t", "detectors": ["b"]}, detectors={"b": bench}).sources[0].reader()
