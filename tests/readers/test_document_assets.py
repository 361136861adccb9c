"""Frames beside the instrument, as writers of many kinds lay them out and describe them."""

import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from insitu.readers.documents import Documents
from insitu.types import Arrival
from tests.readers.told import BEGIN, STOP, datum, described, event, frames, pointed, read, reasons

A = np.random.default_rng(3).integers(0, 60_000, (6, 7, 8)).astype("u2")


def hdf5(path: Path, array: Any, name: str = "/entry/data/data", **more: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=array, **more)
    return path


def plan(shape: Any, path: Any, indices: int, mimetype: str = "application/x-hdf5", **parameters: Any) -> list[Any]:
    return [BEGIN, described(shape), pointed(path, mimetype, **parameters), datum(0, indices), STOP]


@pytest.mark.parametrize(
    ("shape", "stored", "parameters", "indices", "expected"),
    [
        ([7, 8], A, {}, 6, A),
        ([7, 8], A, {"join_method": "stack", "chunk_shape": [1, 7, 8]}, 6, A),
        ([1, 7, 8], A, {"chunk_shape": [1, 7, 8], "dataset": "/entry/data/data"}, 6, A),
        ([3, 7, 8], A, {"chunk_shape": [1, 7, 8]}, 2, A),
        ([3, 7, 8], A, {"join_method": "concat"}, 2, A),
        ([3, 7, 8], A.reshape(2, 3, 7, 8), {"join_method": "stack"}, 2, A),
        ([3, 7, 8], A.reshape(2, 3, 7, 8), {}, 2, A),
        ([7, 8], A, {"multiplier": 2}, 3, A),
        ([2, 7, 8], A, {"multiplier": 2, "swmr": True}, 3, A),
        ([7, 8], A.reshape(6, 1, 7, 8), {}, 6, A),
        ([7, 8], A.reshape(42, 8), {"join_method": "concat", "chunk_shape": [7, 8]}, 6, A),
        ([7, 8], A[0], {}, 1, A[:1]),
        ([0, 7, 8], A, {}, 6, A),
        ([1, 8], A[:, 0], {"chunk_shape": [1, 8]}, 6, A[:, 0]),
        ([1, 8], A[:, 0], {}, 6, A[:, 0]),
        ([8], A[:, 0], {}, 6, A[:, 0]),
        ([8], A[:, 0].ravel(), {"join_method": "concat"}, 6, A[:, 0]),
        ([3, 8], A[:, 0], {"chunk_shape": [1, 8]}, 2, A[:, 0]),
        ([1, 7, 8, 3], np.stack([A] * 3, -1), {"chunk_shape": [1, 7, 8, 3]}, 6, np.stack([A] * 3, -1)),
        ([7, 8], np.stack([A] * 3, -1), {}, 6, np.stack([A] * 3, -1)),
        ([None, None], A, {}, 6, A),
        ([7, 8], A.astype(">f4"), {}, 6, A.astype("f4")),
    ],
)
def test_an_index_is_what_shape_parameters_and_the_array_itself_say(
    tmp_path, shape, stored, parameters, indices, expected
):
    found = frames(plan(shape, hdf5(tmp_path / "a.h5", stored), indices, **parameters))
    assert np.array_equal(found, expected)
    assert found.dtype.isnative
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    array = group.create_array("image", shape=stored.shape, dtype=stored.dtype, chunks=(1, *stored.shape[1:]))
    array[...] = stored
    told = plan(shape, tmp_path / "a.zarr", indices, "application/x-zarr", **{**parameters, "dataset": "image"})
    assert np.array_equal(frames(told), expected)


def test_what_the_detector_file_says_of_the_dims_settles_what_documents_leave_open(tmp_path):
    path = hdf5(tmp_path / "a.h5", A.reshape(42, 8))
    told = plan([7, 8], path, 6, join_method="concat", chunk_shape=[1, 8])
    assert np.array_equal(frames(told, dims=("y", "x")), A)
    assert frames(told, dims=("energy",)).shape == (42, 8)
    volume = [BEGIN, described([6, 7, 8], external=None), event(1, A), STOP]
    assert frames(volume, dims=("z", "y", "x")).shape == (1, 6, 7, 8)


@pytest.mark.parametrize(
    ("template", "name", "files"),
    [
        ("%s%s_%6.6d.tiff", "scan", "scan_{:06d}.tiff"),
        ("%s%s_%3.3d.tif", "", "_{:03d}.tif"),
        ("%s_%d.tiff", "pic", "pic_{}.tiff"),
        ("img%05d.tif", "", "img{:05d}.tif"),
        ("{:04d}.tif", "", "{:04d}.tif"),
        ("scan_{:06d}.tiff", "scan", "scan_{:06d}.tiff"),
    ],
)
def test_files_of_a_sequence_are_found_by_their_template(tmp_path, template, name, files):
    for k, frame in enumerate(A):
        tifffile.imwrite(tmp_path / files.format(k), frame)
    kind = "multipart/related;type=image/tiff"
    more = {"template": template, "filename": name, "chunk_shape": [1, 7, 8]}
    assert np.array_equal(frames(plan([1, 7, 8], f"file://localhost{tmp_path}/", 6, kind, **more)), A)
    assert np.array_equal(frames(plan([2, 7, 8], tmp_path, 3, kind, **more)), A)


def test_files_with_several_frames_each_colours_floats_and_other_formats(tmp_path):
    from PIL import Image

    kind = "multipart/related;type=image/{}"
    tifffile.imwrite(tmp_path / "pages.tiff", A, photometric="minisblack")
    assert np.array_equal(frames(plan([7, 8], tmp_path / "pages.tiff", 6, "image/tiff")), A)
    for k in range(2):
        tifffile.imwrite(tmp_path / f"three_{k}.tiff", A[3 * k : 3 * k + 3], photometric="minisblack")
        tifffile.imwrite(tmp_path / f"real_{k}.tiff", A[k].astype(">f8") / 7)
        tifffile.imwrite(tmp_path / f"rgb_{k}.tiff", np.stack([A[k]] * 3, -1), photometric="rgb")
        np.save(tmp_path / f"plain_{k}.npy", A[k])
        Image.fromarray(np.full((16, 24), 50 + k, "u1")).save(tmp_path / f"pic_{k}.jpg", quality=95)
    three = {"template": "three_{:d}.tiff", "chunk_shape": [3, 7, 8]}
    assert np.array_equal(frames(plan([3, 7, 8], tmp_path, 2, kind.format("tiff"), **three)), A)
    real = {"template": "real_{:d}.tiff", "chunk_shape": [1, 7, 8]}
    assert np.array_equal(frames(plan([1, 7, 8], tmp_path, 2, kind.format("tiff"), **real)), A[:2].astype(">f8") / 7)
    rgb = plan([7, 8, 3], tmp_path, 2, kind.format("tiff"), template="rgb_{:d}.tiff")
    assert np.array_equal(frames(rgb), np.stack([A[:2]] * 3, -1))
    assert [a.dims for a in read(rgb) if isinstance(a, Arrival)] == [("y", "x", "channel")] * 2
    plain = plan([7, 8], tmp_path / "plain", 2, "multipart/related;type=application/x-npy", template="%s_%d.npy")
    assert np.array_equal(frames(plain), A[:2])
    jpeg = frames(plan([16, 24], tmp_path, 2, kind.format("jpeg"), template="pic_{:d}.jpg"))
    assert jpeg[:, 3, 3].tolist() == [50, 51]


def legacy(spec: str, root: Any, path: str, kwargs: Any, datums: list[Any]) -> list[Any]:
    resource = {"uid": "r", "spec": spec, "root": str(root), "resource_path": path, "resource_kwargs": kwargs}
    told: list[Any] = [
        BEGIN,
        described([1, 7, 8], external="FILESTORE:"),
        ("resource", {**resource, "run_start": "run"}),
    ]
    for k, kwargs in enumerate(datums):
        told += [
            ("datum", {"datum_id": f"r/{k}", "resource": "r", "datum_kwargs": kwargs}),
            event(k + 1, f"r/{k}", m=k),
        ]
    return [*told, STOP]


def test_older_resources_are_read_as_their_handlers_do(tmp_path):
    hdf5(tmp_path / "a.h5", A)
    for k in range(6):
        tifffile.imwrite(tmp_path / f"x_{k:06d}.tiff", A[k])
        hdf5(tmp_path / f"x_{k:06d}.h5", A[k : k + 1])
        np.save(tmp_path / f"n_{k}.npy", A[k])
    points = [{"point_number": k} for k in range(3)]
    two = {"frame_per_point": 2}
    names = {"template": "%s%s_%6.6d.tiff", "filename": "x", **two}
    single = {**names, "template": "%s%s_%6.6d.h5"}
    for told in (
        legacy("AD_HDF5", tmp_path, "a.h5", two, points),
        legacy("AD_HDF5_SWMR", tmp_path.parent, f"{tmp_path.name}/a.h5", two, points),
        legacy("AD_TIFF", tmp_path, "", names, points),
        legacy("AD_HDF5_SINGLE", "/", str(tmp_path), single, points),
        legacy("NPY_SEQ", tmp_path, "n", {}, [{"index": k} for k in range(6)]),
    ):
        assert np.array_equal(frames(told), A)
    found = read(legacy("AD_HDF5", tmp_path, "a.h5", two, points))
    assert [a.context["m"].value for a in found if isinstance(a, Arrival)] == [0, 0, 1, 1, 2, 2]
    (why,) = reasons(legacy("AD_HDF5", tmp_path, "a.h5", {}, [{"frame": 0}]))
    assert "says frame=0: expected point_number (or index)" in why
    (why,) = reasons(legacy("AD_EIGER2", tmp_path, "a.h5", {}, [{"seq_id": 0, "index": 0}]))
    assert "'ad_eiger2' cannot be read" in why
    assert "AD_HDF5" in why


@pytest.mark.parametrize(
    ("shape", "path", "kind", "parameters", "why"),
    [
        ([7, 8], "a.h5", "application/x-hdf5", {}, "nobody knows in which folder"),
        ([7, 8], "https://elsewhere/a.h5", "application/x-hdf5", {}, "not on this machine"),
        ([7, 8], "file://elsewhere/a.h5", "application/x-hdf5", {}, "not on this machine"),
        ([7, 8], "{}/a.h5", "application/octet-stream", {}, "'application/octet-stream' cannot be read"),
        ([7, 8], "{}/a.h5", "application/x-hdf5", {"dataset": "/not/there"}, "did not come within 0.2 s"),
        ([5], "{}/a.h5", "application/x-hdf5", {"join_method": "stack"}, "has the shape [7, 8]; expected 1 dimensions"),
        ([7, 8], "{}/one.h5", "application/x-hdf5", {}, "one number and no array"),
        ([7, 8], "{}/text.h5", "application/x-hdf5", {}, "a frame is made of numbers"),
        ([7, 8], "{}", "image/tiff", {"template": "%s%s%s%d"}, "gives no name of a file"),
        ([7, 8], "{}", "image/tiff", {"template": "{:q}.tif"}, "gives no name of a file"),
        ([7, 8], "{}/no.tif", "image/tiff", {}, "did not come within 0.2 s"),
    ],
)
def test_what_cannot_be_read_says_which_file_what_was_expected_and_costs_its_number(
    tmp_path, shape, path, kind, parameters, why
):
    hdf5(tmp_path / "a.h5", A)
    hdf5(tmp_path / "one.h5", 3.0)
    hdf5(tmp_path / "text.h5", np.full((2, 7, 8), b"x"))
    found = read([*plan(shape, path.format(tmp_path), 40, kind, **parameters)])
    assert [i.source_seq for i in found] == list(range(40))
    assert why in getattr(found[0], "reason", "")
    if "did not come" in why:
        assert "did not come, as one before it" in getattr(found[1], "reason", ""), "nobody waits for each of them"


def test_frames_of_a_file_that_is_still_being_written_come_as_it_grows(tmp_path):
    """A writer in SWMR mode; documents may be ahead of it."""
    written, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
            array = file.create_dataset("entry/data/data", (0, 7, 8), "u2", maxshape=(None, 7, 8), chunks=(1, 7, 8))
            file.swmr_mode = True
            for k, frame in enumerate(A):
                array.resize(k + 1, 0)
                array[k] = frame
                array.flush()
                if k == 2:
                    written.set()
                    go_on.wait(90)

    writer = threading.Thread(target=write)
    writer.start()
    reader = Documents(data="img", wait=20.0, runs=1)
    for name, document in plan([1, 7, 8], tmp_path / "a.h5", 6, chunk_shape=[1, 7, 8]):
        reader.feed(name, document)
    written.wait(90)
    found = []
    for item in reader():
        if isinstance(item, Arrival):
            found.append(item.data)
        if len(found) == 3:
            go_on.set()
    writer.join()
    assert np.array_equal(found, A)
