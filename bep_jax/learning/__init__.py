"""The pure rule: `Rule` and `Limits`, the binary chain rule, the optimizer, the fused step.

Imports `bep_jax.network` and what is below it.
"""
