"""What becomes of a candidate: promoted where its runs pass, rolled back where they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insitu.catalog import runs
from insitu.config import Setup
from insitu.errors import InsituError, ModelError
from insitu.models.registry import Registry
from insitu.rollout.criteria import Criteria
from insitu.rollout.evidence import Evidence, in_run, over
from insitu.store.runs import StoredRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """How a candidate stands: `against` are the reasons why it may not be promoted."""

    name: str
    current: str | None
    candidate: str
    evidence: Evidence
    against: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "name": self.name,
            "current": self.current,
            "candidate": self.candidate,
            "evidence": self.evidence.as_dict(),
            "against": list(self.against),
            "passes": not self.against,
        }


def review(
    registry: Registry, name: str, data_root: Path, criteria: Criteria, labels: Mapping[str, str] | None = None
) -> Review:
    """What the stored runs of a data root tell of a name's candidate. Raises `ModelError` where there is none."""
    standing = registry.standing(name)
    if standing.candidate is None or standing.current is None:
        raise ModelError(
            f"{name} has no candidate beside a current bundle",
            where=str(registry.root),
            expected="a canary or a shadow",
            remedy=f"`insitu model shadow {name} SERIAL` lets one look on",
        )
    seen = over(_stored(data_root), name, standing.current, standing.candidate, labels)
    return Review(
        name=name,
        current=standing.current,
        candidate=standing.candidate,
        evidence=seen,
        against=(*_unused(labels, seen), *criteria.against(seen)),
    )


def _unused(labels: Mapping[str, str] | None, seen: Evidence) -> list[str]:
    """Labels are given to decide: where both have judged none of their frames they cannot."""
    if not labels or seen.labelled:
        return []
    return [f"none of the {len(labels):,} labelled frames is of a run in which both looked on"]


def promote(registry: Registry, found: Review, criteria: Criteria, *, anyway: str = "") -> None:
    """Put a reviewed candidate in force. Where it does not pass that needs a reason, `anyway`, which is recorded."""
    if found.against and not anyway:
        raise ModelError(
            f"{found.name} is not promoted: {'; '.join(found.against)}",
            where=str(registry.root),
            expected="a candidate that passes",
            remedy="Let it see more runs, or give your reason with --anyway",
        )
    told = {"asked": criteria.as_dict(), "seen": found.evidence.as_dict(), "against": list(found.against)}
    registry.promote(found.name, why=anyway or "it passes", criteria=told)


def canaries_of(setup: Setup, folder: Path) -> list[str]:
    """`after_run` where the registry gave a canary to the run of this setup; else nothing."""
    if not any(choice.role == "canary" for choice in setup.chosen.values()):
        return []
    return after_run(Registry(operator="insitu"), folder, Criteria())


def after_run(registry: Registry, folder: Path, criteria: Criteria) -> list[str]:
    """Look at a run that has ended: a canary that acted in it and does not pass is rolled back, at once. One sentence
    for people about every canary. Never raises: a run that is over must not fail for this."""
    told = []
    try:
        with closing(StoredRun(folder)) as run:
            bundles = run.open_body().get("bundles", {}).values()
            twins = {m["name"]: m["digest"] for m in bundles if m.get("role") == "twin"}
            for name, digest in {m["name"]: m["digest"] for m in bundles if m.get("role") == "canary"}.items():
                told.append(_watch(registry, run, name, twins[name], digest, criteria))
    except InsituError as e:
        told.append(f"the canary of this run could not be looked at: {e}")
    return told


def _watch(registry: Registry, run: StoredRun, name: str, current: str, canary: str, criteria: Criteria) -> str:
    seen = in_run(run, name, current, canary)
    against = criteria.against(seen, enough=False)
    if registry.standing(name).canary != canary:
        return f"{name}: this run's canary is one no more"
    body = {"run": run.uid, "digest": canary, "seen": seen.as_dict(), "against": against}
    registry.note(name, body)
    if not against:
        return f"{name}: the canary passed this run ({seen.both:,} frames)"
    registry.rollback(name, why="; ".join(against), automatic=True)
    return f"{name}: the canary was rolled back: {'; '.join(against)}"


def _stored(data_root: Path) -> Iterator[StoredRun]:
    for folder in runs(data_root):
        try:
            run = StoredRun(folder)
        except InsituError:
            continue
        with closing(run):
            yield run
