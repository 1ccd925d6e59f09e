"""The host's side of training: learners, the loop around epochs, `fit`, checkpoints, devices, Ctrl-C.

Imports `bep_jax.learning`, `bep_jax.data`, `bep_jax.files` and what is below them.
"""
