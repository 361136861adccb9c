"""The forms of a network in whole numbers of 8 bits, as `quantise` tries them: QDQ nodes with ranges from calibration
inputs, or ranges that are found at each call.

Weights are signed, one scale for each output channel, and of 7 bits: a processor without VNNI adds pairs of products in
16 bits, which 8 bits overflow there, so that the same bundle would say something else. Activations are unsigned.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from insitu.errors import MissingExtraError, ModelError

FEW = 4
"""Channels of a convolution below which 8 bits gain nothing."""
MOST = 512
"""Calibration inputs that are looked at."""
SMALL = 0.05
"""A last dense layer with no more than this part of the network's numbers stays as it is: it costs nothing, scores keep
their resolution, and `insitu model refit` can fit it again."""
PRODUCTS = ("Conv", "Gemm", "MatMul")


def static(model: bytes, calibration: np.ndarray, *, leave: Sequence[str] = ()) -> bytes:
    """The network with QDQ nodes. `calibration`: prepared inputs `(k, ...)`; `leave`: nodes that stay as they are, with
    what follows the last layer, and the last layer itself where it is small and dense."""
    quantization = _quantization()

    class Reader(quantization.CalibrationDataReader):
        def __init__(self, name: str) -> None:
            self.rows: Iterator[np.ndarray] = iter(np.asarray(calibration[:MOST], np.float32))
            self.name = name

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
            row = next(self.rows, None)
            return None if row is None else {self.name: row[None]}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, made = _prepared(model, Path(folder)), Path(folder) / "int8.onnx"
        quantization.quantize_static(
            given, made, Reader(_input_of(model)), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            reduce_range=True, activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=[*leave, *ending(model)],
        )  # fmt: skip
        return _plain(made)


def dynamic(model: bytes) -> bytes:
    """The network with ranges of activations found at each call."""
    quantization = _quantization()
    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, made = _prepared(model, Path(folder)), Path(folder) / "int8.onnx"
        quantization.quantize_dynamic(given, made, weight_type=quantization.QuantType.QUInt8)
        return _plain(made)


def convolutions_of_few(model: bytes) -> list[str]:
    """The names of convolutions that read fewer than 4 channels, if there are others as well."""
    graph = _graph(model)
    channels = {w.name: w.dims[1] for w in graph.initializer if len(w.dims) > 1}
    all_of_them = [n for n in graph.node if n.op_type == "Conv" and n.input[1] in channels]
    narrow = [n.name for n in all_of_them if channels[n.input[1]] < FEW and n.name]
    return narrow if len(narrow) < len(all_of_them) else []


def ending(model: bytes) -> list[str]:
    """The names of the nodes that no convolution or dense layer follows, and of the last dense layer if it is small:
    8 bits gain nothing there, and cost resolution."""
    graph = _graph(model)
    sizes = {w.name: int(np.prod(w.dims)) for w in graph.initializer}
    needed: set[str] = set()
    found: list[str] = []
    last = True
    for node in reversed(graph.node):  # they stand in the order in which they are computed
        product = node.op_type in PRODUCTS
        followed = any(name in needed for name in node.output)
        small = node.op_type != "Conv" and sum(sizes.get(n, 0) for n in node.input) <= SMALL * sum(sizes.values())
        if followed or product:
            needed.update(node.input)
        if not followed and (not product or (last and small)):
            found.append(node.name)
        last = last and not product
    return [name for name in found if name]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tool's advice to do what was done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _prepared(model: bytes, folder: Path) -> Path:
    """The network as a file, with the sizes of everything in it."""
    import onnx

    path = folder / "fp32.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load_from_string(model)), path)
    return path


def _plain(path: Path) -> bytes:
    """The bytes of a network, with standard operators only and the version of them that it uses."""
    import onnx

    made = onnx.load(path)
    strange = {node.domain for node in made.graph.node} - {"", "ai.onnx"}
    if strange:
        raise ModelError(
            f"quantising gave operators of {', '.join(sorted(strange))}", expected="standard operators only"
        )
    kept = [o for o in made.opset_import if o.domain in ("", "ai.onnx")]
    del made.opset_import[:]
    made.opset_import.extend(kept)
    del made.metadata_props[:]
    return made.SerializeToString(deterministic=True)


def _input_of(model: bytes) -> str:
    return _graph(model).input[0].name


def _graph(model: bytes) -> Any:
    import onnx

    return onnx.load_from_string(model).graph


def _quantization() -> Any:
    try:
        import onnx  # noqa: F401 - what onnxruntime's tool works with
        from onnxruntime import quantization
    except ImportError as e:
        raise MissingExtraError("onnx", "models", purpose="changing a network") from e
    return quantization
