"""What Binary Error Propagation is compared with: the same data, models, metrics and form of result."""

from bep_jax.baselines import local_rule as local_rule
from bep_jax.baselines import qat as qat
from bep_jax.baselines import random_features as random_features
