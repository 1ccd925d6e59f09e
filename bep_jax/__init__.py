"""Binary Error Propagation in JAX: training with binary weights, activations and error signals."""

import sys

from bep_jax.data import datasets, encode
from bep_jax.export.header import to_c
from bep_jax.export.model_file import Saved, load, save
from bep_jax.export.on_device.state import load_c_state
from bep_jax.kernels import bits
from bep_jax.kernels.isolate import compiler_options, jit
from bep_jax.learning.chain import NetworkSignals, Stats, backward, forward, logits, updates
from bep_jax.learning.laws import initial_scale
from bep_jax.learning.optimizer import OptimizerState, optimizer, rescale
from bep_jax.learning.rule import Limits, Rule, thresholds
from bep_jax.learning.step import step
from bep_jax.network import dense
from bep_jax.network.frames import equiangular_frame
from bep_jax.network.layers.convolution import Convolution
from bep_jax.network.layers.dense import Dense
from bep_jax.network.layers.layer import Layer, Operands, Residuals, Signals
from bep_jax.network.layers.recurrent import Recurrent
from bep_jax.network.layers.registry import register_layer
from bep_jax.network.model import Model, Params, conv, mlp, rnn
from bep_jax.network.summary import Summary, summary
from bep_jax.network.visible import Visible, visible
from bep_jax.training.calibration import fit_temperature
from bep_jax.training.fitting import fit
from bep_jax.training.learner import TrainState
from bep_jax.training.loop import Report, Result
from bep_jax.training.tuning import Best, tune

__all__ = [
    "Best",
    "Convolution",
    "Dense",
    "Layer",
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
    "Visible",
    "backward",
    "bits",
    "compiler_options",
    "conv",
    "datasets",
    "dense",
    "encode",
    "equiangular_frame",
    "fit",
    "fit_temperature",
    "forward",
    "initial_scale",
    "jit",
    "load",
    "load_c_state",
    "logits",
    "mlp",
    "optimizer",
    "register_layer",
    "rescale",
    "rnn",
    "save",
    "step",
    "summary",
    "thresholds",
    "to_c",
    "tune",
    "updates",
    "visible",
]

# Public modules that live in rooms: ``import bep_jax.bits`` works as ``from bep_jax import bits`` does.
for _module in (bits, datasets, dense, encode):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module
del _module


def __dir__() -> list[str]:
    return sorted([*__all__, "baselines"])
