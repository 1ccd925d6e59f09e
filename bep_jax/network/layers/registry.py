"""The layers by name, as model files know them; own layers are added by `register_layer`.

Source: arXiv 2512.04189, Section 3 (the tied dense layer, of which all are made).
"""

from bep_jax.network.layers.convolution import Convolution
from bep_jax.network.layers.dense import Dense
from bep_jax.network.layers.layer import Layer
from bep_jax.network.layers.recurrent import Recurrent

KINDS: dict[str, type[Layer]] = {"dense": Dense, "recurrent": Recurrent, "convolution": Convolution}


def register_layer(kind: type[Layer]) -> type[Layer]:
    """Makes a layer of your own known to `bep_jax.save` and `bep_jax.load`, under its class's name; a decorator.

    Whoever loads such a file registers the same class before: a file runs no code.

    Args:
      kind: a frozen dataclass derived from `Layer`, whose fields are integers, bools, text, None or tuples of these.

    Returns:
      ``kind``.

    Raises:
      TypeError: it does not derive from `Layer`.
      ValueError: another layer has its name.

    Example:
      >>> import dataclasses
      >>> @dataclasses.dataclass(frozen=True)
      ... class Twice(Dense):
      ...     pass
      >>> register_layer(Twice) is Twice
      True
    """
    if not (isinstance(kind, type) and issubclass(kind, Layer)):
        raise TypeError(f"register_layer: wanted a class derived from bep_jax.Layer, got {kind!r}.")
    known = KINDS.get(kind.__name__)
    if known not in (None, kind) and (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(f"register_layer: there is another layer {kind.__name__!r}, {known}.")
    KINDS[kind.__name__] = kind
    return kind


def name_of(layer: Layer) -> str | None:
    """The name of a layer's type in model files; None where it has none."""
    return next((name for name, kind in KINDS.items() if type(layer) is kind), None)
