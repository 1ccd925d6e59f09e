"""A network: the tied dense operations, layers, `Model` and `Params`, the fixed classifier, the start, the cost.

Imports `bep_jax.kernels`.
"""
