"""What waits between the network and the reader, and the values of other PVs."""

from insitu.readers.epics_link import Beside, Updates
from insitu.types import Feature


def test_a_full_queue_lets_the_oldest_value_go_and_no_change_of_the_connection():
    updates = Updates(2)
    for what, value in (("up", ""), ("value", 1), ("value", 2), ("down", "gone"), ("value", 3), ("value", 4)):
        updates.put(what, value)  # type: ignore[arg-type]
    found = [updates.get(0.0) for _ in range(5)]
    assert [u and (u.what, u.value) for u in found] == [
        ("up", ""), ("down", "gone"), ("value", 3), ("value", 4), None
    ]  # fmt: skip
    assert updates.dropped == 2
    updates.put("value", 5)
    assert updates.get(0.0).value == 5  # type: ignore[union-attr]


def test_other_pvs_give_numbers_with_units_and_texts_or_say_why_not():
    beside = Beside({"t": "A:T", "mode": "A:M", "sample": "A:S", "none": "A:N"})
    beside.lose("t")  # before it ever answered: nothing new
    assert beside.now()[0]["t"].why == "PV A:T has not answered"
    beside.take("t", {"value": 4.5, "display": {"units": "K"}})
    beside.take("mode", {"value": {"index": 1, "choices": ["idle", "fly"]}})
    beside.take("sample", {"value": "NiTi"})
    context, labels = beside.now()
    assert (context["t"], context["mode"]) == (Feature(4.5, "K"), Feature(1))
    assert labels == {"mode": "fly", "sample": "NiTi"}
    assert "sample" not in context
    beside.take("t", {"value": 4.5, "alarm": {"severity": 3, "status": 1, "message": ""}, "display": {"units": "K"}})
    assert beside.now()[0]["t"].why == "PV A:T is INVALID: device"
    beside.lose("t")
    assert beside.now()[0]["t"] == Feature(None, "K", why="PV A:T is disconnected")
