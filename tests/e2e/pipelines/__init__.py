"""The ready pipelines, run as written: their shell steps, in order, in clean checkouts."""
