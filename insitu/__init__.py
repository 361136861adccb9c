"""Stream processing next to the instrument: raw data safe, a decision per frame, proof afterwards."""

__version__ = "0.1.0"
