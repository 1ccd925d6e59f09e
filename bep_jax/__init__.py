"""Binary Error Propagation in JAX: training with binary weights, activations and error signals."""

from bep_jax import bits, datasets, dense, encode
from bep_jax.chain import NetworkSignals, Stats, backward, forward, logits, updates
from bep_jax.export import to_c
from bep_jax.fitting import fit
from bep_jax.frames import equiangular_frame
from bep_jax.learner import TrainState
from bep_jax.loop import Report, Result
from bep_jax.model_file import Saved, load, save
from bep_jax.networks import Dense, Model, Operands, Params, Recurrent, Residuals, Signals, mlp, rnn
from bep_jax.optimizer import OptimizerState, optimizer, rescale
from bep_jax.rule import Limits, Rule, thresholds
from bep_jax.summary import Summary, summary
from bep_jax.train import step

__all__ = [
    "Dense",
    "Limits",
    "Model",
    "NetworkSignals",
    "Operands",
    "OptimizerState",
    "Params",
    "Recurrent",
    "Report",
    "Residuals",
    "Result",
    "Rule",
    "Saved",
    "Signals",
    "Stats",
    "Summary",
    "TrainState",
    "backward",
    "bits",
    "datasets",
    "dense",
    "encode",
    "equiangular_frame",
    "fit",
    "forward",
    "load",
    "logits",
    "mlp",
    "optimizer",
    "rescale",
    "rnn",
    "save",
    "step",
    "summary",
    "thresholds",
    "to_c",
    "updates",
]
