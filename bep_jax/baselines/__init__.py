"""What Binary Error Propagation is compared with, on the same data and models."""

from bep_jax.baselines import qat as qat
