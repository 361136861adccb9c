"""Labels against the stored runs and the network that they are for: what does not fit is refused with file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from insitu.catalog import find_run
from insitu.errors import NotFoundError, UsageError
from insitu.rollout.labels import Given, parts_of
from insitu.store.runs import StoredRun

if TYPE_CHECKING:
    from insitu.models.manifest import Manifest


def check_frames(given: Mapping[str, Given], data_root: Path) -> None:
    """Every label is of a frame that is stored in a run of `data_root`. Raises `NotFoundError`."""
    runs: dict[str, list[str]] = {}
    for address in given:
        runs.setdefault(parts_of(address)[0], []).append(address)
    for uid, addresses in runs.items():
        try:
            folder = find_run(uid, data_root)
        except NotFoundError as e:
            first = addresses[0]
            raise NotFoundError(
                f"{first} is of another place: {e.what}", where=given[first].where,
                expected=f"frames of the runs in {data_root}",
                remedy="Name the folder of that run's data with --data-root, or take the rows of that run out",
            ) from e  # fmt: skip
        with StoredRun(folder) as run:
            for address in addresses:
                try:
                    run.n_of(*parts_of(address)[1:])
                except NotFoundError as e:
                    raise NotFoundError(
                        f"{address}: {e.what}", where=given[address].where, expected=e.expected,
                        remedy="Take the row out; `insitu label choose RUN` writes frames that are stored",
                    ) from e  # fmt: skip


def check_labels(given: Mapping[str, Given], manifest: Manifest) -> None:
    """Every label is one that the network of `manifest` gives. Raises `UsageError`."""
    from insitu.rollout.refit import targets_of  # what it needs is not there where frames are only labelled

    for one in given.values():
        try:
            targets_of(manifest, [one.label], several=manifest.task == "multilabel")
        except UsageError as e:
            raise UsageError(
                f"the label {one.label!r} does not fit: {e.what}", where=one.where, expected=e.expected,
                remedy=f"Correct or empty the label in this row. {e.remedy}",
            ) from e  # fmt: skip


def of_network(given: Mapping[str, Given], manifest: Manifest, data_root: Path) -> tuple[dict[str, Given], list[str]]:
    """Of the labels kept beside the runs, which may be for several networks, those for this one, and a sentence about
    the others: left out is a label that it does not know, of a run that only other networks have judged."""
    found, left_out = dict(given), 0
    judged: dict[str, set[str]] = {}
    for address, one in given.items():
        try:
            check_labels({address: one}, manifest)
        except UsageError:
            uid = parts_of(address)[0]
            if uid not in judged:
                judged[uid] = _judged(uid, data_root)
            if judged[uid] and manifest.name not in judged[uid]:
                del found[address]
                left_out += 1
    told = f"{left_out} kept labels are left out: {manifest.name} does not know them, and others judged those runs"
    return found, [told] if left_out else []


def _judged(uid: str, data_root: Path) -> set[str]:
    """The names of the networks of a run."""
    try:
        with StoredRun(find_run(uid, data_root)) as run:
            return {bundle["name"] for bundle in run.open_body().get("bundles", {}).values()}
    except NotFoundError:
        return set()  # told by `check_frames`


def check_enough(given: Mapping[str, Given], usable: int, told: Iterable[str], fewest: int) -> None:
    """Enough labelled frames can be used; where too many cannot, the first of them says why. Raises `UsageError`."""
    left_out = list(told)
    if usable >= fewest or not left_out:
        return
    address = left_out[0].partition(" ")[0]
    one = given.get(address)
    raise UsageError(
        f"{len(left_out)} of {len(given)} labelled frames cannot be used by this network, and {usable} are too few: "
        f"{left_out[0]}",
        where=one.where if one else address, expected=f"{fewest} or more frames that it can see",
        remedy="Label frames of runs that were measured with this network or one for the same data",
    )  # fmt: skip
