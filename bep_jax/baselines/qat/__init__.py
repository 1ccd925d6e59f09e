"""Straight-through quantisation-aware training in float32: what binary training is usually done with.

The same `Model`, packed inputs and labels as Binary Error Propagation, trained by backpropagation instead: float32
latent weights in [-1, 1] whose signs are the visible weights, sign activations, cross-entropy, optax Adam.
"""

from bep_jax.baselines.qat.network import Norm, Statistics, Trained, Variables, init, logits, sign
from bep_jax.baselines.qat.training import Stats, StraightThroughLearner, fit, make_optimizer, step

__all__ = [
    "Norm",
    "Statistics",
    "Stats",
    "StraightThroughLearner",
    "Trained",
    "Variables",
    "fit",
    "init",
    "logits",
    "make_optimizer",
    "sign",
    "step",
]
