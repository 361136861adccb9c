"""Readers: an instrument or its files in, arrivals out. Short names for `use` in a detector's `[reader]`."""

READERS = {
    "patterns": "insitu.readers.diffraction:Patterns",
    "simulated.diffractometer": "insitu.readers.simulated:Diffractometer",
    "stored": "insitu.readers.stored:Stored",
}
