"""msgpack is itself, whatever has been put under its names."""

import msgpack
import numpy as np
import pytest

from insitu.bluesky import wire
from insitu.store.outbox import unpack
from insitu.store.packing import packb, unpackb


def test_another_package_that_patches_msgpack_changes_nothing_of_ours(monkeypatch):
    import msgpack_numpy

    for name in ("Packer", "Unpacker", "pack", "packb", "unpack", "unpackb", "load", "loads", "dump", "dumps"):
        monkeypatch.setattr(msgpack, name, getattr(msgpack, name))  # given back after the test
    msgpack_numpy.patch()
    data = np.arange(6, dtype="u2").reshape(2, 3)
    kind, value = wire.unpack(wire.joined(wire.pack("event", {"data": data, "time": np.float64(2.5)})))
    assert (kind, value["time"]) == ("event", 2.5)
    assert isinstance(value["data"], np.ndarray)
    assert np.array_equal(value["data"], data)
    with pytest.raises(TypeError):
        packb(data)
    theirs = msgpack.packb(("event", {"x": data}))
    name, document = unpack(theirs)
    assert (name, type(document["x"])) == ("event", dict), "what is no document of ours is not made into anything"
    assert unpackb(packb({"a": [1, 2.5, "x", b"y", None]})) == {"a": [1, 2.5, "x", b"y", None]}
