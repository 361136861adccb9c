"""X-ray absorption: edges, normalisation, background, Fourier transform, dichroism, and a model of them."""
