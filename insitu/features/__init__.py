"""Features: a frame to numbers with units. Short names for `use` in a recipe's `[[features]]`."""

FEATURES = {
    "prepared": "insitu.features.prepared:Prepared",
    "totals": "insitu.features.totals:Totals",
    "xrd.peaks": "insitu.features.xrd:Peaks",
}
