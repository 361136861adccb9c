"""The documents of a run that sends its summaries: made where the recipe has `[kafka]`, by its `[policy]`."""

from collections.abc import Mapping
from typing import Any

from insitu.config import Setup
from insitu.sinks.documents import About, Documents
from insitu.sinks.pseudonyms import read_key


def outbox(setup: Setup, opened: Mapping[str, Any]) -> Documents | None:
    """What takes the records of the run that the entry `opened` began; None where nothing is to be sent."""
    if not setup.kafka:
        return None
    own = {
        "title": opened["title"],
        "recipe": opened["recipe_name"],
        **{name: opened.get(name, "") for name in ("operator", "mode", "host", "continues")},
    }
    about = About(
        uid=opened["uid"],
        started_ns=opened["started_ns"],
        metadata={**setup.metadata, **own},
        outputs=setup.outputs,
        models=setup.models,
        calibrations={s.detector.source: s.detector.calibration for s in setup.sources},
        source_run_uid=opened.get("derived_from", ""),
        simulated=setup.simulated,
    )
    return Documents(setup.policy, about, b"" if setup.pseudonym_key is None else read_key(setup.pseudonym_key))
