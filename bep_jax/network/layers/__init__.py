"""Layers, one a file; each answers for itself. `layer` says what is asked of one, `registry` lists them.

Imports what `bep_jax.network` imports, and its tied dense operations.
"""
