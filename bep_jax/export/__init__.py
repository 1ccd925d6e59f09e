"""What a trained network becomes: model files, predictions of new samples, C text.

Imports `bep_jax.learning`, `bep_jax.data`, `bep_jax.files` and what is below them.
"""
