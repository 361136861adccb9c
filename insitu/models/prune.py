"""A smaller network without training: the channels that matter least are taken away, and what they gave on average is
put into the biases of the layers that read them.

A channel matters by how much it varies (over the calibration inputs) times the norm of the weights that read it: what
is constant can be moved into a bias without loss. Where a dense layer is the last, its weights are then fitted again by
least squares, held to the old ones by a small ridge, so that it says what the whole network said. H. Li et al., ICLR
2017 (weights' norms); Y. He et al., ICCV 2017, 1398 (what follows is fitted again). A gate decides: `quantise.choose`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from insitu.errors import MissingExtraError, ModelError
from insitu.models import bundle as bundles
from insitu.models.bundle import Bundle
from insitu.models.quantise import FEWEST, FULL, Outcome, Trial, choose

PASSED = frozenset(
    [
        "AveragePool", "Clip", "Dropout", "GlobalAveragePool", "GlobalMaxPool", "Identity", "LeakyRelu", "MaxPool",
        "Relu", "Resize", "Sigmoid", "Tanh",
    ]
)  # fmt: skip
"""Operators that leave channels apart."""
BLOCK = 8
"""Kernels work on so many channels at once: wide layers keep a multiple of it."""
RIDGE = 1e-2


class Read(NamedTuple):
    """A layer that reads the channels of a convolution: its number, from which of its input channels on, and how many
    numbers there are of each channel (dense layers behind a `Flatten`; 0 for a convolution)."""

    node: int
    offset: int
    each: int


class Layers:
    """The convolutions and dense layers of a graph, their weights as numpy, and who reads whom."""

    def __init__(self, model: bytes) -> None:
        try:
            import onnx
            from onnx import numpy_helper
        except ImportError as e:
            raise MissingExtraError("onnx", "models", purpose="pruning a network") from e
        self.onnx: Any = onnx
        self.made = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
        self.graph = self.made.graph
        self.weights = {w.name: numpy_helper.to_array(w).copy() for w in self.graph.initializer}
        known = [*self.graph.value_info, *self.graph.input, *self.graph.output]
        self.shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in known}
        self.ends = {v.name for v in self.graph.output}

    def prunable(self) -> Iterator[tuple[int, list[Read]]]:
        """Convolutions whose channels are read by known layers only, and these."""
        for i, node in enumerate(self.graph.node):
            if self._plain_conv(node):
                reads = self._reads(node.output[0], 0, 0)
                if reads:
                    yield i, reads

    def _plain_conv(self, node: Any) -> bool:
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        return node.op_type == "Conv" and groups == 1 and all(name in self.weights for name in node.input[1:])

    def _reads(self, tensor: str, offset: int, each: int) -> list[Read] | None:
        """Who reads the channels of a tensor; None where that cannot be followed."""
        if tensor in self.ends:
            return None
        found: list[Read] = []
        for i, node in enumerate(self.graph.node):
            if tensor not in node.input:
                continue
            more = self._through(i, node, tensor, offset, each)
            if more is None:
                return None
            found += more
        return found

    def _through(self, i: int, node: Any, tensor: str, offset: int, each: int) -> list[Read] | None:
        first = node.input[0] == tensor
        if node.op_type in PASSED and first and not each:
            return self._reads(node.output[0], offset, each)
        if node.op_type == "Concat" and not each and list(node.input).count(tensor) == 1:
            if self._int(node, "axis", 0) != 1:
                return None
            before = list(node.input)[: list(node.input).index(tensor)]
            return self._reads(node.output[0], offset + sum(self.shapes[name][1] for name in before), 0)
        if node.op_type == "Flatten" and first and not each and self._int(node, "axis", 1) == 1:
            return self._reads(node.output[0], offset, int(np.prod(self.shapes[tensor][2:], dtype=np.int64)))
        if self._plain_conv(node) and first and not each:
            return [Read(i, offset, 0)]
        dense = node.op_type == "Gemm" and self._int(node, "transB", 0) == 1 and self._int(node, "transA", 0) == 0
        if dense and first and each and all(name in self.weights for name in node.input[1:]):
            return [Read(i, offset, each)]
        return None

    @staticmethod
    def _int(node: Any, name: str, default: int) -> int:
        return next((a.i for a in node.attribute if a.name == name), default)

    def bytes(self) -> bytes:
        """The network with the weights as they are now."""
        del self.graph.initializer[:]
        self.graph.initializer.extend(self.onnx.numpy_helper.from_array(v, k) for k, v in self.weights.items())
        del self.graph.value_info[:]
        self.onnx.checker.check_model(self.made, full_check=True)
        return self.made.SerializeToString(deterministic=True)


def prune(
    bundle: Bundle,
    calibration: np.ndarray,
    trial: Trial,
    *,
    share: float = 0.25,
    most_loss: float = 0.5,
    least_gain: float = 1.2,
    rounds: int = 60,
) -> Outcome:
    """The network beside one with a `share` of its channels taken away; the latter is taken where it pays."""
    if not 0.0 < share <= 0.9:
        raise ModelError(f"a share of {share:g}", where="--share", expected="more than 0, at most 0.9")
    if len(calibration) < FEWEST:
        raise ModelError(f"{len(calibration)} calibration inputs", expected=f"at least {FEWEST}")
    if bundle.manifest.quantisation.kind != FULL:
        raise ModelError(
            f"this network is {bundle.manifest.quantisation.kind}", expected=FULL, remedy="Prune first, then quantise"
        )
    smaller = pruned(bundle.model, calibration, share)
    forms = {FULL: bundle.model, f"pruned-{share:g}": smaller}
    return choose(bundle.manifest, forms, trial, most_loss=most_loss, least_gain=least_gain, rounds=rounds)


def pruned(model: bytes, calibration: np.ndarray, share: float) -> bytes:
    """The network with a `share` of the channels of each convolution taken away, where that can be done."""
    layers = Layers(model)
    plan = list(layers.prunable())
    if not plan:
        raise ModelError(
            "no layer can be pruned: their channels are added, or read in other ways",
            where="model.onnx", expected="convolutions that convolutions or dense layers read",
        )  # fmt: skip
    names = sorted({layers.graph.node[r.node].input[0] for _, reads in plan for r in reads})
    seen = activations(model, names, calibration)
    kept = {i: _kept(layers, i, reads, seen, share) for i, reads in plan}
    gone: dict[int, list[tuple[Read, np.ndarray]]] = {}
    for i, reads in plan:
        count = layers.weights[layers.graph.node[i].input[1]].shape[0]
        lost = np.setdiff1d(np.arange(count), kept[i])
        for read in reads:
            gone.setdefault(read.node, []).append((read, lost))
    for number, parts in gone.items():
        _take_inputs(layers, number, parts, seen)
    for i in kept:
        for name in layers.graph.node[i].input[1:]:
            layers.weights[name] = np.ascontiguousarray(layers.weights[name][kept[i]])
    return _fitted(layers.bytes(), model, calibration)


def activations(model: bytes, names: list[str], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """What flows through a network at the tensors `names`, for each input."""
    import onnx

    made = onnx.load_from_string(model)
    there = {v.name for v in made.graph.output}
    made.graph.output.extend(
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names if n not in there
    )
    session = bundles.open_session(made.SerializeToString())
    name = made.graph.input[0].name
    rows = [session.run(names, {name: x[None]}) for x in inputs]
    return {n: np.concatenate([np.asarray(row[j]) for row in rows]) for j, n in enumerate(names)}


def _of(read: Read, seen: np.ndarray, count: int) -> np.ndarray:
    """The activations of `count` channels as `(k, count, places)`, at the layer that reads them."""
    if read.each:
        values = seen.reshape(len(seen), -1)
        first = read.offset * read.each
        return values[:, first : first + count * read.each].reshape(len(seen), count, read.each)
    return seen[:, read.offset : read.offset + count].reshape(len(seen), count, -1)


def _kept(layers: Layers, i: int, reads: list[Read], seen: Mapping[str, np.ndarray], share: float) -> np.ndarray:
    """The channels of a convolution that matter most, in their order."""
    count = layers.weights[layers.graph.node[i].input[1]].shape[0]
    matters = np.zeros(count)
    for read in reads:
        node = layers.graph.node[read.node]
        values = _of(read, seen[node.input[0]], count)
        weight = layers.weights[node.input[1]]
        if read.each:
            part = weight[:, read.offset * read.each : (read.offset + count) * read.each]
            matters += np.sum((values.std(axis=0) * _norms(part.reshape(len(part), count, read.each))) ** 2, axis=1)
        else:
            part = weight[:, read.offset : read.offset + count]
            matters += (values.std(axis=(0, 2)) ** 2) * np.sum(part.reshape(len(part), count, -1) ** 2, axis=(0, 2))
    keep = max(1, count - int(share * count))
    if count >= 2 * BLOCK:
        keep = min(count, -(-keep // BLOCK) * BLOCK)
    return np.sort(np.argsort(-matters, kind="stable")[:keep])


def _norms(part: np.ndarray) -> np.ndarray:
    return np.sqrt(np.sum(part.astype(np.float64) ** 2, axis=0))


def _take_inputs(
    layers: Layers, number: int, parts: list[tuple[Read, np.ndarray]], seen: Mapping[str, np.ndarray]
) -> None:
    """Take channels away from a layer's input; what they gave on average goes into its bias."""
    node = layers.graph.node[number]
    weight = layers.weights[node.input[1]]
    more, columns = np.zeros(len(weight)), []
    for read, lost in parts:
        if not lost.size:
            continue
        values = _of(read, seen[node.input[0]], int(lost.max()) + 1)
        if read.each:
            at = ((read.offset + lost)[:, None] * read.each + np.arange(read.each)).ravel()
            more += weight[:, at].astype(np.float64) @ values.mean(axis=0)[lost].ravel()
        else:
            at = read.offset + lost
            inner = weight[:, at].reshape(len(weight), lost.size, -1).sum(axis=2).astype(np.float64)
            more += inner @ values.mean(axis=(0, 2))[lost]
        columns.append(at)
    if not columns:
        return
    layers.weights[node.input[1]] = np.ascontiguousarray(np.delete(weight, np.concatenate(columns), axis=1))
    if len(node.input) > 2:
        bias = layers.weights[node.input[2]]
        layers.weights[node.input[2]] = (bias + more.reshape(bias.shape)).astype(bias.dtype)
    else:
        name = f"{node.output[0]}_bias"
        layers.weights[name] = more.astype(weight.dtype)
        node.input.append(name)


def _fitted(smaller: bytes, model: bytes, inputs: np.ndarray) -> bytes:
    """The last dense layer fitted again, where there is one: it says what the whole network said."""
    layers, before = Layers(smaller), Layers(model)
    last = [i for i, n in enumerate(layers.graph.node) if n.op_type == "Gemm"]
    if not last or len(inputs) < 4 * FEWEST:
        return smaller
    node = layers.graph.node[last[-1]]
    if any(name not in layers.weights for name in node.input[1:]) or layers._int(node, "transB", 0) != 1:
        return smaller
    x = activations(smaller, [node.input[0]], inputs)[node.input[0]].reshape(len(inputs), -1).astype(np.float64)
    target = before.graph.node[last[-1]].output[0]
    wanted = activations(model, [target], inputs)[target].reshape(len(inputs), -1).astype(np.float64)
    weight = layers.weights[node.input[1]].astype(np.float64)
    bias = layers.weights[node.input[2]].astype(np.float64) if len(node.input) > 2 else np.zeros(len(weight))
    centre = x.mean(axis=0)
    left = wanted - (x @ weight.T + bias)
    spread = x - centre
    gram = spread.T @ spread
    ridge = RIDGE * float(np.trace(gram)) / len(gram)
    change = np.linalg.solve(gram + (ridge + 1e-12) * np.eye(len(gram)), spread.T @ (left - left.mean(axis=0))).T
    layers.weights[node.input[1]] = np.ascontiguousarray(weight + change, np.float32)
    if len(node.input) > 2:
        shape = layers.weights[node.input[2]].shape
        layers.weights[node.input[2]] = (bias + left.mean(axis=0) - change @ centre).reshape(shape).astype(np.float32)
    return layers.bytes()
