"""Go over a stored run again: `verify` proves that its records follow from its raw data, `reanalyse` asks anew."""

from insitu.replay.fold import fold, origin
from insitu.replay.reanalyse import reanalyse
from insitu.replay.verify import Finding, Report, verify

__all__ = ["Finding", "Report", "fold", "origin", "reanalyse", "verify"]
