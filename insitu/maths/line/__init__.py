"""Machines and lines: statistics of channels, vibration, change, clocks of several sources."""
