"""Recipes and detector files to a pipeline: the only place where names become objects.

`load` reads a recipe with its detectors, checks everything, and gives a `Setup`; `load_stored` does so for what a run
folder keeps; `describe` says what would run, with all parameters and units, and `render` shows that to people.
"""

from insitu.config.describe import describe, render
from insitu.config.loading import load, load_stored, stored_detectors
from insitu.config.settings import Acquire, Budget, Policy, ReferenceSpec, Setup, Source

__all__ = [
    "Acquire",
    "Budget",
    "Policy",
    "ReferenceSpec",
    "Setup",
    "Source",
    "describe",
    "load",
    "load_stored",
    "render",
    "stored_detectors",
]
