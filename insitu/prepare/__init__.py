"""Prepare: a frame to a better frame. Short names for `use` in a recipe's `[[prepare]]`."""

PREPARES = {
    "absorption": "insitu.prepare.absorption:Absorption",
    "axis": "insitu.prepare.evenly:Evenly",
    "azimuthal": "insitu.prepare.azimuthal:Azimuthal",
    "baseline": "insitu.prepare.baseline:Baseline",
    "normalise": "insitu.prepare.normalise:Normalise",
    "to_d": "insitu.prepare.axes:ToD",
    "to_q": "insitu.prepare.axes:ToQ",
}
