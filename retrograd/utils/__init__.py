"""Helpers around tensors, under their public names: data, and what other parts add."""
