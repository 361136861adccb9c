"""Powder diffraction: geometry, integration, cells, phases."""
