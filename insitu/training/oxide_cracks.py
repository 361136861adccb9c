"""Oxide and cracks of cross-sections of coatings: a small U-Net, trained on three pictures by experts.

    python -m insitu.training.oxide_cracks --out pipelines/models/oxide_cracks [--key FILE] [--quick]

Data: `video/ebc_dev` of the measurements (real). Each picture is left out once. Three pictures are few: the classical
features of `layers` are measured beside, on the same pictures.
"""

from collections.abc import Sequence

import numpy as np

from insitu.features.layers import Layers
from insitu.training.export import torch_of
from insitu.training.options import options
from insitu.training.pictures import Nuisance, Pictures
from insitu.training.segmentation import Micrographs, framed, left_out, micrographs, overlap_of, shipped
from insitu.training.unet import exported, learnt
from insitu.types import ArrayFeature

LABELS = ("background", "oxide", "crack")
TILE, OVERLAP, CROP, COUNT, STEPS = 256, 64, 224, 2, 500
PARAMS = {"normalise": "robust", "percentiles": [2.0, 98.0], "shrink": 2, "overlap": OVERLAP}
HOW = Nuisance(magnify=(0.7, 1.4), turn=0.25, upright=True, blur=1.2, gamma=0.3, shading=0.12, noise=0.06)
WEIGHTS = (1.0, 1.0, 4.0)


def trained(of: Pictures, steps: int, seed: int, say: str) -> bytes:
    """The network as ONNX."""
    torch = torch_of()
    net = learnt(
        torch, of, classes=3, steps=steps, size=CROP, count=COUNT, how=HOW, seed=seed, weights=WEIGHTS, say=say
    )
    return exported(net, TILE)


def classical(of: Micrographs, which: int) -> float:
    """Mean overlap of class `which` by the extractor `layers` with its default settings."""
    extract, found = Layers(), []
    for image, mask in zip(of.raw, of.masks, strict=True):
        map_ = extract(framed(image), {}, ())["layer_map"]
        found.append(overlap_of(map_.values, mask, which) if isinstance(map_, ArrayFeature) else 0.0)
    return float(np.mean(found))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, write the bundle."""
    chosen = options(arguments, __doc__ or "")
    steps = 2 if chosen.quick else STEPS
    of = micrographs(chosen.data / "video" / "ebc_dev", PARAMS)
    held = left_out(
        of, lambda some, name: trained(some, steps, chosen.seed, name), tile=TILE, overlap=OVERLAP,
        which=[0] if chosen.quick else None,
    )  # fmt: skip
    beside = {label: f"intersection over union; `layers` {classical(of, k):.2f}" for k, label in enumerate(LABELS)}
    shipped(
        chosen, of, held, trained(of.without(-1), steps, chosen.seed, "all"), name="oxide_cracks",
        script="insitu.training.oxide_cracks", labels=LABELS, params=PARAMS, tile=TILE, notes=beside,
        description=(
            "Oxide and cracks in cross-sections of coatings, pixel by pixel. Trained on three micrographs (real): too "
            "few for others, as its figures say; the features of `layers` are better."
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
