"""Data: encoders to bits, and data sets by name, as arrays, as images and as series.

Knows no network. Imports `bep_jax.files` and `bep_jax.kernels`.
"""
