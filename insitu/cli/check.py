"""`insitu check`: reads a recipe as `run` would and prints what it comes to, with units, without running it."""

from __future__ import annotations

from insitu.cli.options import AsJson, Inputs, Recipe, Sets
from insitu.cli.say import answer


def check(recipe: Recipe, inputs: Inputs = None, sets: Sets = None, as_json: AsJson = False) -> int:
    """Check a recipe and its detectors, and print the resolved pipeline with units."""
    from insitu.config import describe, load, render

    body = describe(load(recipe, inputs=inputs, sets=sets or (), purpose="check"))
    answer(body, render(body).rstrip(), as_json=as_json)
    return 0
