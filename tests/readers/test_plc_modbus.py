"""The reader of Modbus devices against a real server: values, lines that break, registers that are refused."""

import itertools
import socket
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from insitu.errors import ConfigError, SourceError
from insitu.readers.plc_modbus import Modbus
from insitu.testing import ReaderContract, items
from insitu.types import Arrival, Feature
from tests.readers.modbus_device import BUSY, Device, free_port

REGISTERS = {
    "speed": {"address": 0, "unit": "1/min"},
    "oil": {"address": 10, "type": "float32", "unit": "degC"},
    "torque": {"address": 20, "type": "int16", "scale": 0.1, "unit": "N m"},
    "level": {"address": 0, "table": "input"},
    "running": {"address": 3, "table": "coil"},
}


@pytest.fixture(scope="module")
def server():
    device = Device().start()
    yield device
    device.kill()


@pytest.fixture
def own():
    """A server that a test may kill."""
    device = Device().start()
    yield device
    device.kill()


def modbus(device: Device, registers=REGISTERS, **keys) -> Modbus:
    return Modbus("127.0.0.1", registers, port=device.port, **{"rate": 50.0, **keys})


class TestModbus(ReaderContract):
    repeatable = False

    @pytest.fixture
    def make(self, server):
        return lambda: modbus(server, window=2)

    @pytest.fixture
    def idle(self):
        port = free_port()
        return lambda: Modbus("127.0.0.1", {"a": {"address": 0}}, port=port)

    @pytest.fixture
    def bad(self, server):
        return lambda: modbus(server, {"a": {"address": 500}})


def test_registers_of_every_kind_are_read_in_their_units(server):
    before = time.time_ns()
    found = [a for a in items(modbus(server, count=3)) if isinstance(a, Arrival)]
    frame, *later = found
    seqs = [a.source_seq or 0 for a in found]
    assert (seqs[0], len(later), seqs) == (0, 2, sorted({*seqs})), "a slow machine misses polls, and counts them"
    assert (frame.dims, frame.data.shape, frame.data.dtype) == (("channel", "sample"), (5, 1), np.dtype(np.float64))
    np.testing.assert_allclose(frame.data[:, 0], [1234, 21.5, -0.5, 77, 1])
    assert frame.unit == ("1/min", "degC", "N m", "", "")
    assert frame.labels["channels"] == "speed oil torque level running"
    assert frame.context["sample_rate"] == Feature(50.0, "Hz")
    assert before <= frame.time_ns <= time.time_ns()
    assert 0 < frame.clock_sigma_ns < 1_000_000_000


def test_a_window_holds_several_polls_and_one_channel_has_no_dimension_of_its_own(server):
    found = [a for a in items(modbus(server, {"a": {"address": 1}}, window=5, count=2)) if isinstance(a, Arrival)]
    for frame in found:
        assert frame.data.shape == (5,)
        read = frame.data if frame.mask is None else frame.data[~frame.mask]  # a slow machine misses polls
        assert {*read.tolist()} == {5678.0}
    first, second = (a.context["first_sample"].value or 0.0 for a in found)
    assert (first, second > first, second % 5) == (0, True, 0)
    assert found[0].duration_ns == 100_000_000


def test_a_number_that_is_none_is_masked(server):
    (frame,) = items(modbus(server, {"a": {"address": 0}, "b": {"address": 30, "type": "float64"}}, count=1))
    assert isinstance(frame, Arrival)
    assert frame.mask is not None
    assert frame.mask.tolist() == [[False], [True]]


def test_a_register_that_the_device_does_not_have_is_named(server):
    with pytest.raises(SourceError, match=r"refuses holding 500 \(a\): exception 2, illegal data address") as error:
        items(modbus(server, {"a": {"address": 500}}))
    assert str(server.port) in error.value.where
    assert "40001" in error.value.remedy


def test_a_device_that_stays_busy_is_told_after_the_time_to_connect(server):
    begin = time.monotonic()
    with pytest.raises(SourceError, match=r"nothing was read within 0.5 s: .* \(a\): exception 6, device busy"):
        items(modbus(server, {"a": {"address": BUSY}}, connect=0.5))
    assert time.monotonic() - begin >= 0.5


def test_a_device_that_is_not_there_is_an_error_after_the_time_to_connect():
    port = free_port()
    reader = Modbus("127.0.0.1", {"a": {"address": 0}}, port=port, connect=0.6)
    with pytest.raises(SourceError, match=r"nothing was read within 0\.6 s: the line cannot be opened") as error:
        items(reader)
    assert error.value.where == f"127.0.0.1:{port}"


def test_a_device_that_takes_the_call_and_says_nothing_is_no_reason_to_hang():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        reader = Modbus("127.0.0.1", {"a": {"address": 0}}, port=silent.getsockname()[1], connect=3.0, timeout=0.3)
        waits: list[float] = []
        last = time.monotonic()
        with pytest.raises(SourceError, match="nothing was read"):  # noqa: PT012
            for item in reader():
                assert item is None
                waits.append(time.monotonic() - last)
                last = time.monotonic()
        assert len(waits) >= 5


def test_polls_that_are_missed_while_the_device_is_away_are_gaps(own):
    reader = modbus(own, {"a": {"address": 0}})
    seqs: list[int] = []

    def outage() -> None:
        own.kill()
        time.sleep(0.5)
        own.start()

    thread = threading.Thread(target=outage)
    with closing(reader()) as stream:
        for item in stream:
            if not isinstance(item, Arrival):
                continue
            assert item.source_seq is not None
            seqs.append(item.source_seq)
            if len(seqs) == 10:
                thread.start()
            if len(seqs) >= 40 and reader.reconnects:
                break
    thread.join()
    steps = np.diff(seqs)
    assert (steps > 0).all()
    assert steps.max() >= 20  # at least 0.4 s at 50 Hz
    assert reader.missed == int((steps - 1).sum())
    assert reader.reconnects >= 1


def test_times_go_on_by_the_schedule_over_an_outage(own):
    reader = modbus(own, {"a": {"address": 0}}, rate=20.0)
    found: list[Arrival] = []
    with closing(reader()) as stream:
        for item in stream:
            if isinstance(item, Arrival):
                found.append(item)
                if len(found) == 5:
                    own.kill()
                    own.start()
                if len(found) == 15:
                    break
    seqs = np.array([a.source_seq for a in found])
    times = np.array([a.time_ns for a in found])
    late = (times - times[0]) / 1e9 - (seqs - seqs[0]) / 20
    assert (late > -0.05).all()  # never before it was due
    assert np.median(late) < 0.05


def test_a_device_that_answers_too_late_costs_polls_and_no_wrong_numbers(own):
    reader = modbus(own, {"a": {"address": 0}, "b": {"address": 10, "type": "float32"}}, timeout=0.2)
    found: list[Arrival] = []
    with closing(reader()) as stream:
        for item in stream:
            if isinstance(item, Arrival):
                found.append(item)
                if len(found) == 5:
                    own.pause()
                    threading.Timer(0.8, own.resume).start()
                if len(found) == 25:
                    break
    assert {tuple(a.data[:, 0]) for a in found} == {(1234.0, 21.5)}
    assert reader.missed > 10


def test_a_frame_that_lacks_polls_masks_them(own):
    reader = modbus(own, {"a": {"address": 0}}, window=10)
    found: list[Arrival] = []
    with closing(reader()) as stream:
        for n, item in enumerate(stream):
            if isinstance(item, Arrival):
                found.append(item)
                if len(found) == 2:
                    own.kill()
                    own.start()
                if len(found) == 5:
                    break
            assert n < 10_000
    masked = [a for a in found if a.mask is not None]
    assert masked
    for frame in masked:
        assert frame.mask is not None
        assert (frame.data[~frame.mask] == 1234).all()
    kept = sum(10 if a.mask is None else int((~a.mask).sum()) for a in found)
    assert 5 * 10 - kept <= reader.missed


def test_silence_is_told_every_tenth_of_a_second(server):
    with closing(modbus(server, rate=0.02)()) as stream:
        first = next(a for a in stream if a is not None)
        assert isinstance(first, Arrival)
        begin = time.monotonic()
        assert list(itertools.islice(stream, 5)) == [None] * 5
        assert time.monotonic() - begin < 30


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"unit_id": 256}, "unit_id"),
        ({"rate": 0.0}, "rate"),
        ({"window": 0}, "window"),
        ({"connect": 0.0}, "connect"),
        ({"timeout": -1.0}, "timeout"),
        ({"count": 0}, "count"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_key(keys, where):
    with pytest.raises(ConfigError) as error:
        Modbus(**{"host": "127.0.0.1", "registers": REGISTERS, **keys})
    assert error.value.where == where
