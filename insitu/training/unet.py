"""A small U-Net for micrographs (O. Ronneberger et al., MICCAI 2015), made of what quantises: convolutions, pooling,
resizing and joining, no transposed convolutions.

    stem (5 x 5, every second pixel) -> blocks of two 3 x 3 convolutions, halved in between
    -> back up: nearest neighbours twice as large, joined with what was there on the way down, a block -> 1 x 1
    -> twice as large by straight lines: one logit per class and pixel, clipped at +-8 in steps of 1/4

The steps keep golden outputs of whole tiles small; they change no label that was not a tie before.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from insitu.training.export import Net, add_layers
from insitu.training.pictures import Nuisance, Pictures, crops

WIDTHS = (8, 16, 24, 32, 48)
"""Channels from the finest to the coarsest level."""
CLIP, STEP = 8.0, 0.25


def parts(torch: Any, classes: int, widths: Sequence[int] = WIDTHS) -> Any:
    """The layers, as a `ModuleDict`: stem, down0..., up0..., head."""
    nn = torch.nn

    def block(*channels: int) -> Any:
        pairs = pairwise(channels)
        layers = [(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()) for i, o in pairs]
        return nn.Sequential(*(layer for three in layers for layer in three))

    stem = nn.Sequential(
        nn.Conv2d(1, widths[0], 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
    )
    found = {"stem": stem, "head": nn.Conv2d(widths[0], classes, 1)}
    for k, w in enumerate(widths):
        found[f"down{k}"] = block(widths[max(k - 1, 0)], w, w)
    for k, (w, below) in enumerate(pairwise(widths)):
        found[f"up{k}"] = block(w + below, w, w)
    return nn.ModuleDict(found)


def logits(torch: Any, net: Any, x: Any) -> Any:
    """Logits `(n, classes, y, x)` of pictures `(n, 1, y, x)`, whose sizes are multiples of `multiple(net)`."""
    f, levels = torch.nn.functional, depth(net)
    x, seen = net["stem"](x), []
    for k in range(levels):
        x = net[f"down{k}"](f.max_pool2d(x, 2) if k else x)
        seen.append(x)
    for k in reversed(range(levels - 1)):
        x = net[f"up{k}"](torch.cat([f.interpolate(x, scale_factor=2, mode="nearest"), seen[k]], 1))
    return f.interpolate(net["head"](x), scale_factor=2, mode="bilinear", align_corners=False)


def depth(net: Any) -> int:
    """Levels of a network."""
    return sum(name.startswith("down") for name in net)


def exported(net: Any, tile: int) -> bytes:
    """The network as ONNX: input `(batch, 1, tile, tile)`, output `logits` `(batch, classes, tile, tile)`."""
    graph, levels = Net("input", (1, tile, tile)), depth(net)
    x, seen = add_layers(graph, graph.input, net["stem"]), []
    for k in range(levels):
        x = add_layers(graph, graph.pool(x, 2, dims=2) if k else x, net[f"down{k}"])
        seen.append(x)
    for k in reversed(range(levels - 1)):
        x = add_layers(graph, graph.concat(graph.upsample(x, 2, dims=2), seen[k]), net[f"up{k}"])
    x = graph.upsample(add_layers(graph, x, net["head"]), 2, dims=2, mode="linear")
    low, high = (graph.constant(np.array(v / STEP)) for v in (-CLIP, CLIP))
    whole = graph.node("Round", graph.node("Clip", graph.mul(x, np.array(1.0 / STEP)), low, high))
    return graph.model({"logits": graph.mul(whole, np.array(STEP))})


def shifted(model: bytes, by: np.ndarray) -> bytes:
    """The network of an exported model with `by` `(classes,)` added to its logits."""
    import onnx
    import onnx.helper
    import onnx.numpy_helper

    made = onnx.load_from_string(model)
    last = made.graph.node[-1]
    made.graph.initializer.append(onnx.numpy_helper.from_array(by.astype(np.float32).reshape(-1, 1, 1), "shift"))
    made.graph.node.insert(
        len(made.graph.node) - 1, onnx.helper.make_node("Add", [last.input[0], "shift"], ["shifted"], name="shifted")
    )
    last.input[0] = "shifted"
    return made.SerializeToString(deterministic=True)


def learnt(
    torch: Any, of: Pictures, *, classes: int, steps: int, size: int, count: int, how: Nuisance, seed: int = 0,
    weights: Sequence[float] | None = None, rate: float = 4e-3, widths: Sequence[int] = WIDTHS, mixed: bool = False,
    say: str = "",
) -> Any:  # fmt: skip
    """A network trained on `steps` batches of `count` crops of `size` px (a multiple of 32), in evaluation mode.

    The loss is cross-entropy (classes weighted by `weights`) and 1 - Dice, which does not forget rare classes. `mixed`:
    multiplied in bfloat16, which halves the time.
    """
    torch.manual_seed(seed)
    random, net = np.random.default_rng(seed), parts(torch, classes, widths)
    net = net.to(memory_format=torch.channels_last) if mixed else net
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1, pct_start=0.2)
    weight = None if weights is None else torch.tensor(list(weights))
    for step in range(steps):
        x, y = crops(torch, of, random, size=size, count=count, how=how)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            out = logits(torch, net, x)
        loss = _loss(torch, out.float(), y, weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if say and step % 100 == 99:
            print(f"{say}: step {step + 1}/{steps}, loss {float(loss):.3f}", flush=True)
    return net.eval()


def _loss(torch: Any, out: Any, truth: Any, weight: Any) -> Any:
    f = torch.nn.functional
    chance = out.softmax(1)
    wanted = f.one_hot(truth, out.shape[1]).permute(0, 3, 1, 2).float()
    both, either = (chance * wanted).sum((0, 2, 3)), (chance + wanted).sum((0, 2, 3))
    dice = 1.0 - (2.0 * both + 10.0) / (either + 10.0)
    return f.cross_entropy(out, truth, weight=weight) + dice.mean()
