"""Fine and coarse precipitates of micrographs: a small U-Net, trained on five pictures of a superalloy by experts.

    python -m insitu.training.precipitates --out pipelines/models/precipitates [--key FILE] [--quick]

Data: `video/superalloy_dev` of the measurements (real; one alloy, one microscope). Each picture is left out once.
"""

from collections.abc import Sequence

import numpy as np

from insitu.training.export import torch_of
from insitu.training.options import options
from insitu.training.pictures import Nuisance, Pictures
from insitu.training.segmentation import left_out, micrographs, shift_of, shifted_labels, shipped
from insitu.training.unet import exported, learnt, shifted

LABELS = ("matrix", "fine", "coarse")
TILE, OVERLAP, CROP, COUNT, STEPS = 256, 64, 192, 6, 400
PARAMS = {"normalise": "robust", "percentiles": [2.0, 98.0], "overlap": OVERLAP}


def trained(of: Pictures, steps: int, seed: int, say: str) -> bytes:
    """The network as ONNX."""
    torch = torch_of()
    net = learnt(torch, of, classes=3, steps=steps, size=CROP, count=COUNT, how=Nuisance(), seed=seed, say=say)
    return exported(net, TILE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, write the bundle."""
    chosen = options(arguments, __doc__ or "")
    steps = 2 if chosen.quick else STEPS
    of = micrographs(chosen.data / "video" / "superalloy_dev", PARAMS)
    held = left_out(
        of, lambda some, name: trained(some, steps, chosen.seed, name), tile=TILE, overlap=OVERLAP,
        which=[0] if chosen.quick else None,
    )  # fmt: skip
    by = np.array([0.0, shift_of(of, held, 1), 0.0])
    held = [h._replace(logits=h.logits + by[:, None, None]) for h in shifted_labels(of, held, 1)]
    shipped(
        chosen, of, held, shifted(trained(of.without(-1), steps, chosen.seed, "all"), by), name="precipitates",
        script="insitu.training.precipitates", labels=LABELS, params=PARAMS, tile=TILE,
        description=(
            "Fine and coarse dark precipitates in a bright matrix, pixel by pixel. Trained on five micrographs of one "
            "superalloy (real)."
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
