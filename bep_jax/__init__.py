"""Binary Error Propagation in JAX: training with binary weights, activations and error signals."""

from bep_jax import bits, dense
from bep_jax.chain import NetworkSignals, Stats, backward, forward, logits, updates
from bep_jax.frames import equiangular_frame
from bep_jax.networks import Model, Params, mlp, rnn
from bep_jax.optimizer import OptimizerState, optimizer, rescale
from bep_jax.rule import Limits, Rule, thresholds
from bep_jax.train import step
