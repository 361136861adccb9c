"""Documents as odd writers make them, for tests of what reads them."""

from typing import Any

import numpy as np

from insitu.readers.documents import Documents
from insitu.testing import items
from insitu.types import Arrival, Detector, Invalid

START = {"uid": "run", "time": 1.7e9, "sample": "steel"}
Named = tuple[str, Any]


def described(shape: Any, uid: str = "d", name: str = "primary", more: Any = None, **key: Any) -> Named:
    """A descriptor of `img`, and of the keys in `more`."""
    external = {} if key.get("external", "STREAM:") is None else {"external": "STREAM:"}
    mine = {"source": "x", "dtype": "array", "shape": shape, **external, **key}
    keys = {"img": {k: v for k, v in mine.items() if v is not None}, **(more or {})}
    return "descriptor", {"uid": uid, "run_start": "run", "name": name, "time": 1.7e9, "data_keys": keys}


def pointed(
    path: Any, mimetype: str = "application/x-hdf5", uid: str = "r", key: str = "img", **parameters: Any
) -> Named:
    uri = path if isinstance(path, str) else f"file://localhost{path}"
    resource = {"uid": uid, "run_start": "run", "data_key": key, "mimetype": mimetype, "uri": uri}
    return "stream_resource", {**resource, "parameters": parameters}


def datum(start: Any, stop: Any, uid: str = "d", resource: str = "r", seq: int = 0) -> Named:
    seqs = {"start": seq, "stop": seq + (stop - start if seq else 0)}
    indices = {"start": start, "stop": stop}
    return "stream_datum", {
        "uid": f"{resource}/{start}", "stream_resource": resource, "descriptor": uid, "indices": indices,
        "seq_nums": seqs,
    }  # fmt: skip


def event(seq: int, value: Any = None, uid: str = "d", time: Any = 1.7e9, **data: Any) -> Named:
    data = {**data, **({} if value is None else {"img": value})}
    stamps = dict.fromkeys(data, time)
    return "event", {
        "uid": f"e{seq}", "descriptor": uid, "seq_num": seq, "time": time, "data": data, "timestamps": stamps,
    }  # fmt: skip


STOP = ("stop", {"uid": "s", "run_start": "run", "exit_status": "success"})
BEGIN = ("start", START)


def read(told: list[Named], *, wait: float = 0.2, dims: tuple[str, ...] = (), **more: Any) -> list[Arrival | Invalid]:
    """What a reader gives for them. Whatever it is, it comes to an end and never raises."""
    detector = Detector(name="d", source="det", dims=dims) if dims else None
    reader = Documents(data="img", wait=wait, detector=detector, **more)
    for name, document in told:
        reader.feed(name, document)
    reader.close()
    return [item for item in items(reader) if item is not None]


def frames(told: list[Named], **more: Any) -> np.ndarray:
    """All frames, where nothing is wrong."""
    found = read(told, **more)
    assert not [i.reason for i in found if isinstance(i, Invalid)]
    return np.stack([a.data for a in found if isinstance(a, Arrival)])


def reasons(told: list[Named], **more: Any) -> list[str]:
    """Why there are no frames."""
    return [i.reason for i in read(told, **more) if isinstance(i, Invalid)]
