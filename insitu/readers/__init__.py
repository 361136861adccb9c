"""Readers: an instrument or its files in, arrivals out. Short names for `use` in a detector's `[reader]`."""

READERS = {
    "images": "insitu.readers.images:Images",
    "movie": "insitu.readers.movie:Movie",
    "patterns": "insitu.readers.diffraction:Patterns",
    "simulated.area_detector": "insitu.readers.simulated_image:AreaDetector",
    "simulated.colloid": "insitu.readers.simulated_colloid:Colloid",
    "simulated.diffractometer": "insitu.readers.simulated:Diffractometer",
    "simulated.grains": "insitu.readers.simulated_grains:Grains",
    "simulated.precipitates": "insitu.readers.simulated_precipitates:Precipitates",
    "simulated.xas": "insitu.readers.simulated_xas:XasBeamline",
    "spectra": "insitu.readers.spectra:Spectra",
    "stored": "insitu.readers.stored:Stored",
}
