"""Fine and coarse precipitates of micrographs: a small U-Net, trained on five pictures of a superalloy by experts.

    python -m insitu.training.precipitates --out pipelines/models/precipitates [--key FILE] [--quick]

Data: `video/superalloy_dev` of the measurements (real; one alloy, one microscope). Each picture is left out once.
"""

from collections.abc import Sequence

from insitu.training.export import torch_of
from insitu.training.options import options
from insitu.training.pictures import Nuisance, Pictures
from insitu.training.segmentation import Held, Micrographs, left_out, micrographs, overlaps
from insitu.training.unet import exported, learnt

LABELS = ("matrix", "fine", "coarse")
PARAMS = {"normalise": "robust", "percentiles": [2.0, 98.0]}
TILE, OVERLAP, CROP, COUNT, STEPS = 256, 64, 192, 6, 400


def trained(of: Pictures, steps: int, seed: int, say: str) -> bytes:
    """The network as ONNX."""
    torch = torch_of()
    net = learnt(torch, of, classes=3, steps=steps, size=CROP, count=COUNT, how=Nuisance(), seed=seed, say=say)
    return exported(net, TILE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, write the bundle."""
    chosen = options(arguments, __doc__ or "")
    steps = 30 if chosen.quick else STEPS
    of = micrographs(chosen.data / "video" / "superalloy_dev", PARAMS)
    held = left_out(of, lambda p, name: trained(p, steps, chosen.seed, name), tile=TILE, overlap=OVERLAP, which=[0] if chosen.quick else None)
    for h in held:
        print(h.name, overlaps(of, [h], 1).value, overlaps(of, [h], 2).value, flush=True)


if __name__ == "__main__":
    main()
