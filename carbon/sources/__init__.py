"""Where grid intensities come from, one file a source. This package, unlike the rest of carbon, may wait for a network."""
