"""Fine and coarse precipitates of micrographs: a small U-Net, trained on five pictures of a superalloy by experts.

    python -m insitu.training.precipitates --out FOLDER [--int8 FOLDER] [--key FILE] [--quick]

Data: `video/superalloy_dev` of the measurements (real; one alloy, one microscope). Each picture is left out once, and
so in 8 bits, which is shipped as `pipelines/models/precipitates`. Its levels are of 16 channels and more because 8 bits
gain nothing with 8; in 8 bits it takes no longer than one of half the width in full precision.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from insitu.models.quantise import INNER, Trial
from insitu.models.quantise_forms import convolutions_of_few, static
from insitu.training.export import torch_of
from insitu.training.options import options
from insitu.training.pictures import Nuisance, Pictures
from insitu.training.quantised import quantised
from insitu.training.segmentation import (
    figures_of,
    left_out,
    micrographs,
    shift_of,
    shifted_labels,
    shipped,
    tiles_of,
)
from insitu.training.unet import exported, learnt, shifted

LABELS = ("matrix", "fine", "coarse")
TILE, OVERLAP, CROP, COUNT, STEPS = 256, 64, 192, 6, 400
WIDTHS = (16, 24, 32, 48, 64)
PARAMS = {"normalise": "robust", "percentiles": [2.0, 98.0], "overlap": OVERLAP}


def trained(of: Pictures, steps: int, seed: int, say: str) -> bytes:
    """The network as ONNX."""
    torch = torch_of()
    net = learnt(
        torch, of, classes=3, steps=steps, size=CROP, count=COUNT, how=Nuisance(), seed=seed, widths=WIDTHS, mixed=True,
        say=say,
    )  # fmt: skip
    return exported(net, TILE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, write the bundle."""
    chosen = options(arguments, __doc__ or "")
    steps = 2 if chosen.quick else STEPS
    of = micrographs(chosen.data / "video" / "superalloy_dev", PARAMS)
    which = [0] if chosen.quick else None
    models: dict[str, bytes] = {}

    def learn(some: Pictures, name: str) -> bytes:
        models[name] = trained(some, steps, chosen.seed, name)
        return models[name]

    held = left_out(of, learn, tile=TILE, overlap=OVERLAP, which=which)
    by = np.array([0.0, shift_of(of, held, 1), 0.0])
    held = [h._replace(logits=h.logits + by[:, None, None]) for h in shifted_labels(of, held, 1)]
    bundle = shipped(
        chosen, of, held, shifted(learn(of.without(-1), "all"), by), name="precipitates_fp32",
        script="insitu.training.precipitates", labels=LABELS, params=PARAMS, tile=TILE,
        description=(
            "Fine and coarse dark precipitates in a bright matrix, pixel by pixel. Trained on five micrographs of one "
            "superalloy (real)."
        ),
    )  # fmt: skip

    def figures(kind: str, form: bytes) -> list[dict[str, Any]]:
        """Of 8 bits: every network that left a picture out, its ranges from the pictures that it learnt from."""
        leave = convolutions_of_few(bundle.model) if kind == INNER else ()

        def small(some: Pictures, name: str) -> bytes:
            return static(models[name], tiles_of(some.images, TILE)[:, None], leave=leave)

        again = shifted_labels(of, left_out(of, small, tile=TILE, overlap=OVERLAP, which=which), 1)
        found = figures_of(of, again, LABELS)
        for metric in found:
            print(kind, metric)
        return found

    inputs = tiles_of(of.images, TILE)[:, None]
    trial = Trial(inputs=inputs, right=tiles_of(of.small, TILE).astype(np.int64), origin="pictures that it learnt from")
    quantised(chosen, bundle, name="precipitates", calibration=inputs, trial=trial, figures=figures)


if __name__ == "__main__":
    main()
