"""What goes over the wire comes out as it was: every type of array bit for bit, and every kind of value."""

import datetime as dt
import enum
import socket
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insitu.bluesky.channel import Calls, Channel, Incoming, write
from insitu.bluesky.handing import error_body, error_of, summary_body, summary_of
from insitu.bluesky.heads import KEPT, Heads
from insitu.bluesky.records import packed, unpacked
from insitu.bluesky.wire import joined, pack, unpack
from insitu.errors import ConfigError, MissingExtraError, StorageError, UnitError, UsageError
from insitu.run import Summary
from insitu.store.canonical import record_body
from insitu.types import Action, ArrayFeature, Axis, Decision, Feature, Measurement, Record, Verdict

DTYPES = [
    *np.typecodes["AllInteger"], *np.typecodes["AllFloat"], "?", ">u2", ">f8", "<i4", "S5", "U3", ">U2", "V3",
    "M8[ns]", "m8[us]", "M8[D]", [("x", "<i4"), ("y", ">f8", (2, 3)), ("z", "S2")],
    [("a", [("b", "i2"), ("c", "M8[s]")])],
]  # fmt: skip


def there_and_back(value: Any) -> Any:
    return unpack(joined(pack("event", value)))[1]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, 4), (2, 3, 4)], ids=str)
def test_arrays_of_every_type_and_shape_arrive_bit_for_bit(dtype, shape):
    kind = np.dtype(dtype)
    raw = np.random.default_rng(1).integers(0, 100, int(np.prod(shape)) * kind.itemsize, np.uint8)  # below a surrogate
    array = raw.view(kind).reshape(shape) if raw.size and kind.kind != "U" else np.zeros(shape, kind)
    for given in (array, np.asfortranarray(array), array[::-1] if shape else array):
        found = there_and_back({"data": {"a": given, "b": [given]}})["data"]
        for got in (found["a"], found["b"][0]):
            assert (got.dtype, got.shape, got.tobytes()) == (given.dtype, given.shape, given.tobytes())


class Colour(enum.IntEnum):
    RED = 3


def test_values_of_documents_arrive_as_they_were():
    now = dt.datetime(2026, 11, 22, 12, 0, 0, 123456)
    document = {
        "t": (1, (2.5, [None, (True,)])), "big": 2**100, "negative": -(2**90), "most": 2**64 - 1, "inf": float("-inf"),
        "now": now, "utc": now.replace(tzinfo=dt.UTC), "day": now.date(), "hour": now.time(), "path": Path("/x/y"),
        "bytes": b"\xff", "text": "caf\udce9", "complex": 1 + 2j, 3: "key", "empty": {}, "scalar": np.float32(1.5),
        "stamp": np.datetime64("2020-01-01", "ns"), "flag": np.bool_(True), "colour": Colour.RED,
        "ordered": OrderedDict(b=1, a=2), "double": np.float64(0.1), "name": np.str_("x"),
    }  # fmt: skip
    found = there_and_back(document)
    assert found == document
    assert list(found) == list(document)
    assert type(found["t"]) is tuple
    assert type(found["scalar"]) is np.float32
    assert np.isnan(there_and_back([float("nan")])[0])


def test_what_is_unknown_goes_as_its_text_or_is_refused():
    assert there_and_back({"objects": np.array([1, "x", None], object), "thing": print}) == {
        "objects": [1, "x", None], "thing": repr(print),
    }  # fmt: skip
    with pytest.raises(UsageError, match="cannot be handed to the process"):
        pack("load", {"use": print}, strict=True)


def test_a_large_message_goes_through_a_socket_in_parts_and_an_end_in_the_middle_is_one():
    here, there = socket.socketpair()
    incoming = Incoming(there)
    value = {"many": [np.full(7, k % 256, "u1") for k in range(1500)], "large": np.arange(3_000_000)}
    thread = threading.Thread(target=lambda: (write(here, pack("x", value)), here.sendall(b"half"), here.close()))
    thread.start()
    message = incoming.read()
    assert message is not None
    assert all(np.array_equal(a, b) for a, b in zip(message[1]["many"], value["many"], strict=True))
    assert np.array_equal(message[1]["large"], value["large"])
    assert incoming.read() is None
    thread.join()
    incoming.close()
    there.close()


def test_a_channel_keeps_what_is_needed_and_counts_what_has_no_room():
    here, there = socket.socketpair()
    incoming = Incoming(there)
    channel = Channel(here, "test", waiting=100_000)
    frame = np.zeros(60_000, "u1")
    sent = [channel.send("shown", frame, needed=False) for _ in range(200)]
    assert channel.send("ended", 1)
    assert sent[0]
    assert channel.lost == sent.count(False) > 0
    found = []
    while not found or found[-1] != "ended":
        message = incoming.read()
        assert message is not None
        found.append(message[0])
    assert found.count("shown") == sent.count(True)
    channel.close()
    assert not channel.send("more", 1)
    calls = Calls(channel.send)
    with pytest.raises(ConnectionError):
        calls.ask("hold", {}, 1.0)
    with pytest.raises(TimeoutError):
        Calls(lambda kind, value: True).ask("hold", {}, 0.01)
    incoming.close()
    there.close()
    here.close()


def test_errors_and_summaries_keep_their_kind_and_their_words():
    several = ConfigError("two", problems=(UnitError("no unit", where="a"), ConfigError("no key", expected="x")))
    for e in (several, MissingExtraError("p4p", "epics", purpose="PVs"), StorageError("full", where="/x", remedy="y")):
        found = error_of(error_body(e))
        assert (type(found), str(found), found.as_dict()) == (type(e), str(e), e.as_dict())
    again = error_of(error_body(several))
    assert isinstance(again, ConfigError)
    assert [type(p) for p in again.problems] == [UnitError, ConfigError]
    assert "ZeroDivisionError: x" in str(error_of(error_body(ZeroDivisionError("x"))))
    summary = Summary(run_uid="u", path="/p", ended="failed", reason="r", notes=("n",), error=StorageError("full"))
    found = summary_of(there_and_back(summary_body(summary)))
    assert found.as_dict() == summary.as_dict()


def test_a_record_arrives_whole():
    spoke = Decision(action=Action.ADAPT, reason="r", rule="s", params={"exposure_s": Feature(0.5, "s")}, valid_s=2.0)
    arrays = {"map": ArrayFeature(values=np.eye(3), dims=("y", "x"), axes={"x": Axis(np.arange(3.0), "mm")})}
    measurement = Measurement(
        source="cam", seq=3, n=7, time_ns=2**60, clock_sigma_ns=5, source_seq=9, complete=False, points=4,
        provisional=True, features={"a": Feature(1.5, "deg", sigma=0.1), "b": Feature(None, "K", why="no")},
        arrays=arrays, context={"t": Feature(300, "K")}, labels={"sample": "x"}, references={"dark": "blake3:0"},
        faults=("one",), source_run_uid="run",
    )  # fmt: skip
    verdicts = {"m": Verdict(label="normal", score=0.5, scores={"p": 0.1}, reason="because", model="d")}
    record = Record(measurement=measurement, verdicts=verdicts, decision=spoke, spoke=(spoke,))
    found = unpacked(there_and_back(packed(record)))
    assert record_body(found) == record_body(record)
    m = found.measurement
    assert (m.source_run_uid, m.clock_sigma_ns, m.points, m.faults) == ("run", 5, 4, ("one",))
    assert (found.spoke, found.decision) == (record.spoke, record.decision)
    assert np.array_equal(m.arrays["map"].axes["x"].values, np.arange(3.0))


def test_beginnings_are_kept_for_plans_that_go_on_and_for_a_while_for_others():
    heads = Heads()
    for k in range(KEPT + 10):
        heads.see("start", {"uid": f"s{k}"})
        heads.see("descriptor", {"uid": f"d{k}", "run_start": f"s{k}"})
        if k:
            heads.see("stop", {"uid": f"x{k}", "run_start": f"s{k}"})
    assert [document["uid"] for _, document in heads.begun()] == ["s0", "d0"]
    last = f"s{KEPT + 9}"
    assert [d["uid"] for _, d in heads.begun([("stop", {"run_start": last})])] == ["s0", "d0", last, f"d{KEPT + 9}"]
    assert [d["uid"] for _, d in heads.begun([("stop", {"run_start": "s1"})])] == ["s0", "d0"], "s1 is forgotten"
