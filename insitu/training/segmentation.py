"""What the scripts that train segmentation share: pictures with masks, leaving each out in turn, figures, the bundle.

A picture left out is judged as the edge judges it: prepared by the named preparation, cut into tiles that overlap, by
onnxruntime with the exported network. Overlap is intersection over union of the pixels of a class.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.inference.onnx_scores import softmax
from insitu.inference.onnx_tiles import whole
from insitu.models.bundle import Bundle, open_session
from insitu.models.manifest import Judgement, Ranges, Tolerance
from insitu.models.preparing import preparation
from insitu.training.metrics import Figure, bootstrap, temperature
from insitu.training.options import Options
from insitu.training.pictures import Pictures
from insitu.training.publish import data, publish
from insitu.types import Frame


class Micrographs(NamedTuple):
    """Pictures by name: as they were taken uint8 `(y, x)`, prepared float32 `(y, x)`, masks uint8 at the size of the
    pictures and at that of the prepared ones; a digest of all files."""

    names: tuple[str, ...]
    raw: tuple[np.ndarray, ...]
    images: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]
    small: tuple[np.ndarray, ...]
    digest: str

    def without(self, held: int) -> Pictures:
        """What is learnt from when picture `held` is left out (-1: none)."""
        kept = [k for k in range(len(self.names)) if k != held]
        return Pictures([self.images[k] for k in kept], [self.small[k] for k in kept])


def micrographs(folder: Path, params: Mapping[str, Any]) -> Micrographs:
    """All `NAME.png` with a `NAME_mask.png` in a folder."""
    from skimage import io

    prepare, step, digest = preparation("image", params), int(params.get("shrink", 1)), hashlib.sha256()
    names, raw, images, masks, small = [], [], [], [], []
    for path in sorted(folder.glob("*_mask.png")):
        picture = path.with_name(path.name.replace("_mask.png", ".png"))
        digest.update(path.read_bytes() + picture.read_bytes())
        image, mask = io.imread(picture), io.imread(path)
        made = prepare(framed(image))
        if made.input is None:
            raise ValueError(f"{picture.name}: {made.why}")
        names.append(picture.stem)
        raw.append(image)
        images.append(made.input[0])
        masks.append(mask)
        small.append(np.ascontiguousarray(fewer(mask, step)))
    return Micrographs(
        tuple(names), tuple(raw), tuple(images), tuple(masks), tuple(small), "sha256:" + digest.hexdigest()
    )


def framed(image: np.ndarray) -> Frame:
    """A picture `(y, x)` as a frame."""
    return Frame(source="video", data=image, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0)


def fewer(mask: np.ndarray, step: int) -> np.ndarray:
    """The mask of a picture shrunk by `step`: the highest class in each square, because thin ones are the rare ones.

    >>> fewer(np.array([[0, 0, 1, 1], [2, 0, 1, 1]], np.uint8), 2).tolist()
    [[2, 1]]
    """
    height, width = (n // step for n in mask.shape)
    return mask[: height * step, : width * step].reshape(height, step, width, step).max(axis=(1, 3))


def judged(model: bytes, image: np.ndarray, *, tile: int, overlap: int) -> np.ndarray:
    """Logits `(classes, y, x)` of a prepared picture `(y, x)`."""
    ready = open_session(model)
    return whole(image[None], (tile, tile), overlap, lambda x: np.asarray(ready.run(None, {"input": x[None]})[0])[0])


class Held(NamedTuple):
    """A picture that was left out: its logits at the size of the prepared one, and the labels at that of the mask."""

    name: str
    logits: np.ndarray
    labels: np.ndarray


def left_out(
    of: Micrographs,
    train: Callable[[Pictures, str], bytes],
    *,
    tile: int,
    overlap: int,
    which: Sequence[int] | None = None,
) -> list[Held]:
    """Every picture judged by a network that `train` made of the others."""
    found = []
    for k in which if which is not None else range(len(of.names)):
        out = judged(train(of.without(k), of.names[k]), of.images[k], tile=tile, overlap=overlap)
        labels = out.argmax(axis=0).astype(np.uint8)
        step = of.masks[k].shape[0] // labels.shape[0]
        found.append(Held(of.names[k], out, labels.repeat(step, 0).repeat(step, 1)))
    return found


SPLIT = "by picture: each left out once"
UNCLEAR = 0.05
"""A picture of which the network is less certain by more than this than of any that was left out is unlike them."""
SHIFTS = np.arange(0.0, 2.01, 0.25)
"""What is tried to be added to the logits of a class."""


def shift_of(of: Micrographs, held: Sequence[Held], which: int) -> float:
    """What, added to the logits of class `which`, gives its best mean overlap in pictures left out: a rare class is
    said too seldom by a network that learnt for so short."""
    masks = dict(zip(of.names, of.small, strict=True))

    def mean(by: float) -> float:
        return float(np.mean([overlap_of(_said(h.logits, which, by), masks[h.name], which) for h in held]))

    return float(max(SHIFTS, key=mean))


def shifted_labels(of: Micrographs, held: Sequence[Held], which: int) -> list[Held]:
    """The same, with the shift for each picture chosen on the others."""
    found = []
    for one in held:
        by = shift_of(of, [h for h in held if h is not one] or [one], which)
        labels, step = _said(one.logits, which, by), one.labels.shape[0] // one.logits.shape[1]
        found.append(Held(one.name, one.logits, labels.repeat(step, 0).repeat(step, 1)))
    return found


def _said(logits: np.ndarray, which: int, by: float) -> np.ndarray:
    moved = logits.copy()
    moved[which] += by
    return moved.argmax(axis=0).astype(np.uint8)


def overlap_of(labels: np.ndarray, mask: np.ndarray, which: int) -> float:
    """Intersection over union of class `which`; 1 where it is in neither.

    >>> overlap_of(np.array([1, 1, 0]), np.array([0, 1, 1]), 1)
    0.3333333333333333
    """
    a, b = labels == which, mask == which
    either = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / either if either else 1.0


def overlaps(of: Micrographs, held: Sequence[Held], which: int) -> Figure:
    """Mean overlap of class `which` over the pictures left out, with an interval over pictures."""
    masks = dict(zip(of.names, of.masks, strict=True))
    values = np.array(
        [overlap_of(h.labels, masks[h.name][: h.labels.shape[0], : h.labels.shape[1]], which) for h in held]
    )
    return bootstrap(lambda rows: float(values[rows].mean()), range(len(values)))


def figures_of(
    of: Micrographs, held: Sequence[Held], labels: Sequence[str], notes: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The overlap of each class but the first, over the pictures left out."""
    return [
        overlaps(of, held, k).metric(
            f"overlap {label}", data="real", split=SPLIT, note=(notes or {}).get(label, "intersection over union")
        )
        for k, label in enumerate(labels)
        if k
    ]


def certainties(held: Sequence[Held], at: float) -> list[float]:
    """The mean over the pixels of their highest score, of each picture left out, at a temperature."""
    return [float(softmax(h.logits, at).max(axis=0).mean()) for h in held]


def shipped(
    chosen: Options, of: Micrographs, held: Sequence[Held], model: bytes, *, name: str, script: str,
    labels: Sequence[str], params: Mapping[str, Any], description: str, tile: int,
    notes: Mapping[str, str] | None = None,
) -> Bundle:  # fmt: skip
    """The figures of the pictures left out, and the bundle of the network that learnt from all of them."""
    metrics = figures_of(of, held, labels, notes)
    for metric in metrics:
        print(metric)
    logits = np.concatenate([h.logits.reshape(len(labels), -1)[:, ::97] for h in held], axis=1).T
    truth = np.concatenate(
        [small.reshape(-1)[::97] for n, small in zip(of.names, of.small, strict=True) if n in {h.name for h in held}]
    )
    low, high = (float(np.percentile(np.concatenate([x.ravel() for x in of.images]), q)) for q in (0.01, 99.99))
    at = round(temperature(logits, truth), 3)
    return publish(
        chosen, name=name, script=script, task="segmentation", modality="video", description=description, labels=labels,
        model=model, preparation=("image", params), golden=_corner(of.images[0], tile), output_names=("logits",),
        trained_on=[data(f"{script.rsplit('.', 1)[-1]} by experts", of.digest, "real", len(of.names))], split=SPLIT,
        metrics=metrics, ranges=Ranges(low=round(low - 1.0, 3), high=round(high + 1.0, 3), share=0.02),
        decision=Judgement(temperature=at, abstain_below=round(min(certainties(held, at)) - UNCLEAR, 2)),
        tolerance=Tolerance(absolute=0.5, relative=0.0),
    )  # fmt: skip


def tiles_of(images: Sequence[np.ndarray], tile: int) -> np.ndarray:
    """Whole tiles side by side of pictures or masks `(y, x)`: `(k, tile, tile)`."""
    return np.stack(
        [
            image[y : y + tile, x : x + tile]
            for image in images
            for y in range(0, image.shape[0] - tile + 1, tile)
            for x in range(0, image.shape[1] - tile + 1, tile)
        ]
    )


def _corner(image: np.ndarray, tile: int) -> np.ndarray:
    """One tile of a picture, `(1, 1, tile, tile)`."""
    return np.ascontiguousarray(image[None, None, :tile, :tile], np.float32)
