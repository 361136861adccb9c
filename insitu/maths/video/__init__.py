"""Images and tracks: location, segmentation, registration, linking, statistics of regions."""
