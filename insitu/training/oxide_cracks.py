"""Oxide and cracks of cross-sections of coatings: a small U-Net, trained on three pictures by experts.

    python -m insitu.training.oxide_cracks --out pipelines/models/oxide_cracks [--key FILE] [--quick]

Data: `video/ebc_dev` of the measurements (real). Each picture is left out once. Three pictures are few: the classical
features of `layers` are measured beside.
"""

from insitu.training.export import torch_of
from insitu.training.pictures import Nuisance, Pictures
from insitu.training.unet import exported, learnt

LABELS = ("background", "oxide", "crack")
PARAMS = {"normalise": "robust", "percentiles": [2.0, 98.0], "shrink": 2}
TILE, OVERLAP, CROP, COUNT, STEPS = 256, 64, 224, 2, 500
HOW = Nuisance(magnify=(0.7, 1.4), turn=0.25, upright=True, blur=1.2, gamma=0.3, shading=0.12, noise=0.06)
WEIGHTS = (1.0, 1.0, 4.0)


def trained(of: Pictures, steps: int, seed: int, say: str) -> bytes:
    """The network as ONNX."""
    torch = torch_of()
    net = learnt(
        torch, of, classes=3, steps=steps, size=CROP, count=COUNT, how=HOW, seed=seed, weights=WEIGHTS, say=say
    )
    return exported(net, TILE)
