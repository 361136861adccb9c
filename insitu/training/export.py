"""Trained weights as an ONNX graph, written node by node: small, the same bytes each time, and no torch on the edge.

    net = Net("input", (2, 1024))
    x = net.relu(net.conv(net.input, weight, bias, stride=2))
    model = net.model({"logits": net.gemm(net.flatten(x), w, b)})

Shapes are without the batch, which is free. Weights are numpy arrays in torch's layouts: convolutions
`(out, in / groups, k...)`, dense layers `(out, in)`. `from_torch` does this for a plain sequence of torch layers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from insitu.errors import MissingExtraError

OPSET, IR = 17, 8
"""Old enough for any onnxruntime of the last years; Resize and LayerNormalization are as they are today."""


class Net:
    """An ONNX graph that grows: every method adds a node and gives the name of its result."""

    def __init__(self, input: str, shape: Sequence[int | str], *, dtype: str = "float32") -> None:
        onnx = _onnx()
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._onnx, self.input = onnx, input
        self._inputs = [onnx.helper.make_tensor_value_info(input, kind, ["batch", *shape])]
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._count = 0

    def constant(self, array: np.ndarray | Sequence[float], dtype: Any = np.float32) -> str:
        """Weights, or any fixed array."""
        self._count += 1
        name = f"w{self._count}"
        values = np.ascontiguousarray(array, dtype=dtype)
        self._constants.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Any operator of the standard set with one result."""
        self._count += 1
        name = f"x{self._count}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def conv(
        self, x: str, weight: np.ndarray, bias: np.ndarray | None = None, *,
        stride: int = 1, dilation: int = 1, pad: int | Sequence[int] | None = None, group: int = 1,
    ) -> str:  # fmt: skip
        """Convolution over the last dimensions; `pad` on both sides (default: the same length at stride 1)."""
        kernel = weight.shape[2:]
        pads = [dilation * (k - 1) // 2 for k in kernel] if pad is None else [pad] if isinstance(pad, int) else [*pad]
        pads = pads * len(kernel) if len(pads) != len(kernel) else pads
        names = [self.constant(weight)] + ([] if bias is None else [self.constant(bias)])
        return self.node(
            "Conv", x, *names, kernel_shape=list(kernel), strides=[stride] * len(kernel),
            dilations=[dilation] * len(kernel), pads=pads * 2, group=group,
        )  # fmt: skip

    def gemm(self, x: str, weight: np.ndarray, bias: np.ndarray | None = None) -> str:
        """A dense layer: `x @ weight.T + bias`."""
        names = [self.constant(weight)] + ([] if bias is None else [self.constant(bias)])
        return self.node("Gemm", x, *names, transB=1)

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def sigmoid(self, x: str) -> str:
        return self.node("Sigmoid", x)

    def softmax(self, x: str, axis: int = 1) -> str:
        return self.node("Softmax", x, axis=axis)

    def pool(self, x: str, size: int, *, dims: int, mean: bool = False) -> str:
        """Largest (or mean) of every `size` neighbours along each of `dims` dimensions."""
        sizes = [size] * dims
        return self.node("AveragePool" if mean else "MaxPool", x, kernel_shape=sizes, strides=sizes)

    def upsample(self, x: str, factor: int, *, dims: int, mode: str = "nearest") -> str:
        """Larger by a whole factor ("nearest" or "linear"), as int8 needs it (no transposed convolution)."""
        scales = self.constant([1.0, 1.0, *[float(factor)] * dims])
        how = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return self.node("Resize", x, "", scales, mode=mode, **(how if mode == "nearest" else {}))

    def concat(self, *xs: str, axis: int = 1) -> str:
        return self.node("Concat", *xs, axis=axis)

    def add(self, x: str, y: str | np.ndarray) -> str:
        return self.node("Add", x, y if isinstance(y, str) else self.constant(y))

    def mul(self, x: str, y: str | np.ndarray) -> str:
        return self.node("Mul", x, y if isinstance(y, str) else self.constant(y))

    def sub(self, x: str, y: str | np.ndarray) -> str:
        return self.node("Sub", x, y if isinstance(y, str) else self.constant(y))

    def flatten(self, x: str) -> str:
        return self.node("Flatten", x, axis=1)

    def scaled(self, x: str, mean: np.ndarray, scale: np.ndarray) -> str:
        """`(x - mean) / scale`, the standardisation of the training data."""
        return self.mul(self.sub(x, np.asarray(mean)), 1.0 / np.asarray(scale, dtype=np.float64))

    def model(self, outputs: Mapping[str, str], shapes: Mapping[str, Sequence[int | str]] | None = None) -> bytes:
        """The checked model: `outputs` {name to be seen: result}; their `shapes` without batch are worked out where
        they are not given."""
        onnx = self._onnx
        nodes = list(self._nodes)
        for name, result in outputs.items():
            nodes.append(onnx.helper.make_node("Identity", [result], [name], name=name))
        unknown = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
        graph = onnx.helper.make_graph(nodes, "insitu", self._inputs, unknown, self._constants)
        made = self._made(graph)
        typed = onnx.shape_inference.infer_shapes(made, strict_mode=True)
        known = {}
        for value in typed.graph.output:
            dims = [d.dim_value for d in value.type.tensor_type.shape.dim][1:]
            given = (shapes or {}).get(value.name, dims)
            known[value.name] = (value.type.tensor_type.elem_type, ["batch", *given])
        found = [onnx.helper.make_tensor_value_info(name, *known[name]) for name in outputs]
        final = self._made(onnx.helper.make_graph(nodes, "insitu", self._inputs, found, self._constants))
        onnx.checker.check_model(final, full_check=True)
        return final.SerializeToString(deterministic=True)

    def _made(self, graph: Any) -> Any:
        onnx = self._onnx
        return onnx.helper.make_model(
            graph, producer_name="insitu", opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR
        )


def torch_of(purpose: str = "training") -> Any:
    """The module torch with one thread, or the error that names the extra."""
    import importlib

    try:
        torch = importlib.import_module("torch")  # by name: it is installed only where networks are trained
    except ImportError as e:
        raise MissingExtraError("torch", "train", purpose=purpose) from e
    torch.set_num_threads(1)
    return torch


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError as e:
        raise MissingExtraError("onnx", "models", purpose="writing a model") from e
    return onnx


def add_layers(net: Net, x: str, layers: Any) -> str:
    """Add torch layers, one after the other: convolutions (a batch norm after one is folded into it), dense layers,
    ReLU, Sigmoid, pooling, Upsample, Flatten; Dropout and Identity are left out. `TypeError` for any other."""
    flat = [layer for layer in _flat(layers) if type(layer).__name__ not in ("Dropout", "Dropout1d", "Identity")]
    for i, layer in enumerate(flat):
        kind = type(layer).__name__
        after = flat[i + 1] if i + 1 < len(flat) else None
        if kind in ("Conv1d", "Conv2d"):
            folded = after if type(after).__name__.startswith("BatchNorm") else None
            weight, bias = _weights(layer, folded)
            x = net.conv(
                x, weight, bias, stride=layer.stride[0], dilation=layer.dilation[0], pad=list(layer.padding),
                group=layer.groups,
            )  # fmt: skip
        elif kind == "Linear":
            folded = after if type(after).__name__.startswith("BatchNorm") else None
            x = net.gemm(x, *_weights(layer, folded))
        elif kind.startswith("BatchNorm"):
            if i == 0 or type(flat[i - 1]).__name__ not in ("Conv1d", "Conv2d", "Linear"):
                raise TypeError("a batch norm must follow a convolution or a dense layer")
        elif kind in ("ReLU", "Sigmoid"):
            x = net.node("Relu" if kind == "ReLU" else "Sigmoid", x)
        elif kind in ("MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d"):
            x = net.pool(x, _one(layer.kernel_size), dims=int(kind[-2]), mean=kind.startswith("Avg"))
        elif kind == "Upsample":
            x = net.upsample(x, int(layer.scale_factor), dims=2)
        elif kind == "Flatten":
            x = net.flatten(x)
        else:
            raise TypeError(f"{kind} is no layer that can be written as ONNX here")
    return x


def from_torch(layers: Any, shape: Sequence[int], *, input: str = "input", output: str = "output") -> bytes:
    """A torch `Sequential` as an ONNX model with input `(batch, *shape)`."""
    net = Net(input, shape)
    return net.model({output: add_layers(net, net.input, layers)})


def _flat(layers: Any) -> list[Any]:
    if type(layers).__name__ != "Sequential":
        return [layers]
    return [inner for layer in layers for inner in _flat(layer)]


def _weights(layer: Any, norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias in float64, a batch norm of evaluation folded in."""
    weight = layer.weight.detach().double().numpy()
    bias = np.zeros(weight.shape[0]) if layer.bias is None else layer.bias.detach().double().numpy()
    if norm is None:
        return weight, bias
    mean, variance = norm.running_mean.double().numpy(), norm.running_var.double().numpy()
    gain = norm.weight.detach().double().numpy() / np.sqrt(variance + norm.eps)
    shift = norm.bias.detach().double().numpy()
    return weight * gain.reshape(-1, *[1] * (weight.ndim - 1)), (bias - mean) * gain + shift


def _one(size: Any) -> int:
    return int(size[0] if isinstance(size, tuple) else size)
