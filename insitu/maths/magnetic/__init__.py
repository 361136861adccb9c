"""Magnetic materials: hysteresis loops, Barkhausen noise, permeability, core loss, and models of them."""
