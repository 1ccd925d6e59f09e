"""What is written to disk, and how: whole files or none, tensors, a run's folder, pictures.

Knows no network. Imports `bep_jax.kernels`.
"""
