"""The shipped networks in 8 bits and in full precision, one thread, one input, in turn: part of `int8`.

One that is shipped in full precision is quantised as `insitu model quantise` would, on the inputs that come with it.
One that is shipped in 8 bits is timed beside the same layers in float32, made out of it, which must say the same; what
it lost is what its manifest says, measured when it was made. Nothing is drawn here: these are the trained weights.
"""

from typing import Any

import numpy as np

from insitu.catalog import shipped_folder
from insitu.errors import InsituError
from insitu.models import quantise
from insitu.models.bundle import Bundle, open_session, read_bundle
from insitu.models.stopwatch import side_by_side

GOALS = {"xrd_phases": (3.0, 0.30), "xrd_phases_fp32": (3.0, 0.30), "precipitates": (1.8, 1.0)}
"""Least gain, and the largest part of the bytes."""
MOST_LOSS = 0.5
ALIKE = 0.99
"""Least correlation of the outputs of both forms."""


def all_of_them(rounds: int) -> None:
    """Every shipped bundle."""
    for place in sorted(shipped_folder("pipelines").glob("models/*/manifest.json")):
        try:
            bundle = read_bundle(place.parent)
            if bundle.manifest.quantisation.kind == quantise.FULL:
                whole(bundle, rounds)
            else:
                eight_bits(bundle, rounds)
        except InsituError as e:
            print(f"  shipped {place.parent.name}: {e}")


def whole(bundle: Bundle, rounds: int) -> None:
    """What quantising gives for a network in full precision."""
    inputs, m = own_inputs(bundle), bundle.manifest
    if len(inputs) < quantise.FEWEST:
        print(f"\n  shipped {m.name}: {len(inputs)} inputs of its own are too few to try 8 bits")
        return
    outcome = quantise.quantise(bundle, inputs, quantise.Trial(inputs=inputs, origin="the bundle"), rounds=rounds)
    show(f"shipped {m.name}", outcome, *GOALS.get(m.name, (None, None)))


def own_inputs(bundle: Bundle) -> np.ndarray:
    """Those for calibration; else the golden ones, pictures turned and mirrored as well."""
    own = bundle.calibration()
    found = bundle.golden()[0] if own is None else own
    if len(found) < quantise.FEWEST and found.ndim == 4:
        turned = [np.rot90(found, k, (2, 3))[..., ::flip] for k in range(4) for flip in (1, -1)]
        found = np.ascontiguousarray(np.concatenate(turned))
    return found


def eight_bits(bundle: Bundle, rounds: int) -> None:
    """A network in 8 bits beside its own layers in float32."""
    m, x = bundle.manifest, bundle.golden()[0][:1]
    forms = {"float32": in_float(bundle.model), m.quantisation.kind: bundle.model}
    sessions = {name: open_session(model) for name, model in forms.items()}
    said = np.stack([np.asarray(s.run([m.outputs[0].name], {m.inputs.name: x})[0]).ravel() for s in sessions.values()])
    alike = float(np.corrcoef(said)[0, 1])
    assert alike > ALIKE, f"{m.name}: the layers in float32 say something else ({alike:.3f})"
    times = side_by_side(sessions, x, rounds=rounds)
    full, small = (times[name].p50_ms for name in forms)
    row = next(r for r in m.quantisation.table if r["taken"])
    part = len(bundle.model) / len(forms["float32"])
    print(f"\n  shipped {m.name} ({m.quantisation.kind}) beside its own layers in float32")
    print(f"    {full:.4f} ms, {small:.4f} ms: {full / small:.2f} times; {len(bundle.model):,} bytes ({part:.2f})")
    print(
        f"    when it was made: {row['gain']:.2f} times, {row['size']:.2f} of the bytes, {row['loss']:.2f} points lost "
        f"on {row['n']} inputs ({row['right']} is right)"
    )
    if m.name in GOALS:
        gain, size = GOALS[m.name]
        goal(gain, size, gained=full / small, loss=float(row["loss"]), part=part)


def in_float(model: bytes) -> bytes:
    """The layers of a network with QDQ nodes in float32: weights multiplied by their scales, and the rectifiers, which
    ranges from 0 on stand for in 8 bits."""
    import onnx
    from onnx import helper, numpy_helper

    made = onnx.load_from_string(model)
    arrays = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    same: dict[str, str] = {}
    nodes: list[Any] = []

    def source(name: str) -> str:
        return source(same[name]) if name in same else name

    for node in made.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in arrays:
            arrays[node.output[0]] = _weights(node, arrays)
        elif node.op_type == "QuantizeLinear" and not np.any(arrays[node.input[2]]):
            nodes.append(helper.make_node("Relu", [source(node.input[0])], [node.output[0]]))
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            same[node.output[0]] = node.input[0]
        else:
            node.input[:] = [source(name) for name in node.input]
            nodes.append(node)
    nodes += [helper.make_node("Identity", [source(o.name)], [o.name]) for o in made.graph.output if o.name in same]
    needed = {name for node in nodes for name in node.input}
    del made.graph.node[:], made.graph.initializer[:], made.graph.value_info[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items() if name in needed)
    return made.SerializeToString(deterministic=True)


def _weights(node: Any, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Weights, or a bias, of a DequantizeLinear node."""
    values, scale = arrays[node.input[0]].astype(np.float32), arrays[node.input[1]]
    zero = arrays[node.input[2]].astype(np.float32) if len(node.input) > 2 else np.zeros_like(scale)
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    if scale.ndim:
        shape = [-1 if k == axis else 1 for k in range(values.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return np.asarray((values - zero) * scale, np.float32)


def show(name: str, outcome: quantise.Outcome, gain: float | None, size: float | None) -> None:
    """The table of one network, and whether the goals were met."""
    print(f"\n  {name}")
    for c in outcome.candidates:
        r = c.row
        print(
            f"    {r['kind']:<18} {r['p50_ms']:>8.4f} ms  {r['gain']:>5.2f} times  {r['bytes']:>8,} bytes "
            f"({r['size']:.2f})  score {r['score']:.2f} on {r['n']}  {'TAKEN' if r['taken'] else r['why']}"
        )
    if gain is not None:
        r = outcome.taken.row
        goal(gain, size, gained=r["gain"], loss=r["loss"], part=r["size"])


def goal(gain: float, size: float | None, *, gained: float, loss: float, part: float) -> None:
    """Whether it was reached."""
    met = gained >= gain and loss <= MOST_LOSS and (size is None or part <= size)
    limits = f"{gain:g} times, {MOST_LOSS:g} points" + (f", {size:.2f} of the bytes" if size else "")
    print(f"    goal {limits}: {'reached' if met else 'NOT reached'}")
