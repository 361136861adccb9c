"""What one run uses of a name in the registry."""

from __future__ import annotations

from dataclasses import dataclass, replace

from insitu.models.bundle import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What one run uses of a name: the bundle that acts, as what (`current` or `canary`), and the twin that sees the
    same frames and never acts. `told`: what a person has to know about it."""

    name: str
    acting: Bundle
    role: str
    twin: Bundle | None = None
    told: tuple[str, ...] = ()

    @property
    def candidate(self) -> str:
        """What is tried beside the current bundle: a canary acts, a shadow looks on."""
        return "canary" if self.role == "canary" else "shadow"

    def alone(self, why: str) -> Choice:
        """The current bundle without what is tried beside it."""
        current = self.twin if self.role == "canary" and self.twin is not None else self.acting
        told = f"the {self.candidate} of {self.name} does not fit this recipe and is left out: {why}"
        return replace(self, acting=current, role="current", twin=None, told=(*self.told, told))
