"""Documents on their way to the process of the run: in order, whole, each to one process."""

import socket
import threading
import time

import numpy as np
import pytest

from insitu.bluesky.channel import Incoming, shut
from insitu.bluesky.outlet import Outlet
from tests.waiting import until


@pytest.fixture
def outlet():
    found = Outlet(64_000_000)
    yield found
    found.give_up()


@pytest.fixture
def pair():
    """Makes sockets: one to write to, and what comes out of the other."""
    made = []

    def make() -> tuple[socket.socket, Incoming]:
        ours, theirs = socket.socketpair()
        made.append((ours, theirs, Incoming(theirs)))
        return ours, made[-1][2]

    yield make
    for ours, theirs, incoming in made:
        incoming.close()
        shut(ours)
        shut(theirs)


def event(k: int, size: int = 10) -> dict:
    return {"descriptor": "d", "seq_num": k, "data": {"x": np.full(size, k)}, "timestamps": {"x": 0.0}}


def read(incoming: Incoming, most: int = 10**6) -> list[int]:
    """Numbers of the events that come, until the end or so many."""
    found = []
    while len(found) < most and (message := incoming.read()) is not None:
        kind, value = message
        if kind == "close":
            break
        name, document = value
        if name == "event":
            assert (document["data"]["x"] == document["seq_num"]).all()
            found.append(document["seq_num"])
    return found


def test_thousands_of_documents_at_once_arrive_whole_and_in_order(outlet, pair):
    ours, incoming = pair()
    for k in range(3000):
        outlet.put("event", event(k, 1 + k % 700))
    outlet.attach(ours)
    outlet.close()
    assert read(incoming) == list(range(3000))
    until(lambda: outlet.sent == 3001 and outlet.done)
    assert outlet.dropped == 0


@pytest.mark.parametrize("taken", [0, 1, 17, 64])
def test_where_a_process_goes_in_the_middle_the_next_one_gets_what_that_one_had_not_got_whole(outlet, pair, taken):
    ours, incoming = pair()
    outlet.put("start", {"uid": "plan", "time": 0.0})
    outlet.put("descriptor", {"uid": "d", "run_start": "plan", "data_keys": {}})
    for k in range(200):
        outlet.put("event", event(k, 20_000))
    outlet.attach(ours)
    first = read(incoming, taken)
    assert first == list(range(taken))
    time.sleep(0.05)
    sent_before = outlet.sent
    shut(ours)
    again, incoming = pair()
    outlet.attach(again)
    outlet.close()
    names, second = [], []
    while (message := incoming.read()) is not None and message[0] != "close":
        name, document = message[1]
        names.append(name)
        second += [document["seq_num"]] if name == "event" else []
    assert names[:2] == ["start", "descriptor"], "what the plan began with comes first"
    assert names.count("start") == 1
    assert second == list(range(second[0], 200)), "nothing twice, nothing out of order"
    assert sent_before - 2 <= second[0] <= sent_before + 66, "only what the first one had been sent whole is missing"
    assert second[0] >= taken


def test_a_process_that_does_not_read_holds_up_nobody_who_puts(outlet, pair):
    ours, incoming = pair()
    outlet.attach(ours)
    began = time.monotonic()
    for k in range(500):
        outlet.put("event", event(k, 5000))
    assert time.monotonic() - began < 60.0
    assert outlet.sent < 500, "the other side has not read"
    outlet.close()
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(read(incoming)))
    reader.start()
    reader.join(90)
    assert found == list(range(500))


def test_what_was_put_is_waited_for_when_the_interpreter_ends_but_not_for_ever(outlet, pair):
    ours, incoming = pair()
    for k in range(100):
        outlet.put("event", event(k, 5000))
    began = time.monotonic()
    outlet.flush(0.05)  # there is nobody to write to
    assert outlet.sent == 0
    assert time.monotonic() - began < 60.0
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(read(incoming, 100)))
    reader.start()
    outlet.attach(ours)
    outlet.flush(90.0)
    assert outlet.sent == 100
    reader.join(90)
    assert found == list(range(100))
