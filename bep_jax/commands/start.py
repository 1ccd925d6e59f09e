"""``python -m bep_jax train --from MODEL``: the network, the encoder and the classes are those of a file."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import arg

from bep_jax.commands.flags import Data, Network, Training
from bep_jax.commands.plan import Kind, Plan
from bep_jax.data import features, tables
from bep_jax.data.datasets import Dataset
from bep_jax.data.encode import Rocket, first_encoder
from bep_jax.data.labels import class_indices
from bep_jax.export.model_file import Saved, load
from bep_jax.export.predict import num_networks
from bep_jax.network.layers.convolution import Convolution
from bep_jax.network.model import Params

# Flags that say what the file says.
_OF_THE_FILE = (
    (Network(), tuple(field.name for field in dataclasses.fields(Network))),
    (Data(), ("input_bits", "edges", "expand", "window")),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """Where training starts."""

    start_from: Annotated[
        Path | None, arg(name="from", metavar="FILE", help_behavior_hint="(default: weights drawn anew)")
    ] = None
    """A model.safetensors to go on from, of train --hidden; one without hidden weights wants --scale, too. Network,
    encoder and classes are those of the file, of which each seed takes its network, or all take the only one."""

    def read(self, data: Data, network: Network, training: Training) -> "Beginning | None":
        """The file, and the flags that it stands for; None without one.

        Raises:
          ValueError, OSError: it cannot be read, or other flags contradict it.
        """
        if self.start_from is None:
            return None
        for (usual, names), flags in zip(_OF_THE_FILE, (network, data), strict=True):
            given = [f"--{n.replace('_', '-')}" for n in names if getattr(flags, n) != getattr(usual, n)]
            if given:
                raise ValueError(
                    "train: with --from the network and its encoder are those of the file; leave out "
                    f"{', '.join(given)}."
                )
        saved = load(self.start_from)
        if isinstance(saved.encoder, tuple):
            raise ValueError(
                f"train: {self.start_from} holds an encoder for each of its networks, --from wants one for all; save "
                "them one by one, or use bep.fit(..., params=...)."
            )
        count, seeds = num_networks(saved), len(training.which_seeds)
        if count not in (1, seeds):
            raise ValueError(
                f"train: {self.start_from} holds {count} networks, one for each seed: give --seeds {count}."
            )
        params = saved.params
        if params.classifier.ndim == 3 and count == 1:
            params = Params(tuple(h[0] for h in params.hidden), params.classifier[0])
        signs = all(bool((np.abs(np.asarray(h)) == 1).all()) for h in params.hidden)
        if signs and training.scale is None:
            raise ValueError(
                f"train: {self.start_from} holds signs alone; give --scale, the standard deviation of the hidden "
                "weights that they start with, such as 64: the larger, the slower they are forgotten. train --hidden "
                "keeps hidden weights."
            )
        if not signs and training.scale is not None:
            raise ValueError(f"train: {self.start_from} has hidden weights of its own; leave out --scale.")
        return Beginning(self.start_from, saved, params, signs)


@dataclasses.dataclass(frozen=True)
class Beginning:
    """A file that training goes on from."""

    path: Path
    saved: Saved
    params: Params  # one network, or one a seed
    signs: bool

    @property
    def kind(self) -> Kind:
        if self.saved.model.recurrent:
            return "rnn"
        if isinstance(first_encoder(self.saved.encoder), Rocket):
            return "rocket"
        return "conv" if self._convolutions() else "mlp"

    @property
    def text(self) -> str:
        count = num_networks(self.saved)
        what = "signs" if self.signs else "hidden weights"
        return f"goes on from {self.path}: {count} network{'s' * (count > 1)}, {what}"

    def flags(self, data: Data, network: Network) -> tuple[Data, Network]:
        """The flags that would make such a network."""
        columns, widths = self.saved.columns, self.saved.model.widths
        if columns is not None and data.dataset.lower().endswith(tables.SUFFIXES) and data.label is None:
            data = dataclasses.replace(data, label=columns.label)
        if not data.dataset.lower().endswith(features.SUFFIX):  # whose arrays are taken as they are
            data = dataclasses.replace(data, window=self.saved.window)
        if self.kind == "rnn":
            return data, dataclasses.replace(network, model="rnn", state_width=widths[0], output_width=widths[-1])
        layers = self._convolutions()
        filters = tuple(f"{one.width},{one.patch[0]},{one.stride[0]},{one.padding[0]}" for one in layers) or None
        dense = widths[len(layers) :] or widths
        return data, dataclasses.replace(network, model=self.kind, widths=dense, filters=filters)

    def applied(self, plan: Plan) -> Plan:
        """The plan, with the network and the encoder of the file."""
        layers = self._convolutions()
        options: dict[str, Any] = {**plan.load_options, "width": None, "num_bits": None}
        options.pop("encoder", None)
        if self.saved.encoder is not None:
            options["encoder"] = self.saved.encoder
        if self.saved.columns is not None and plan.dataset.lower().endswith(tables.SUFFIXES):
            options["columns"] = self.saved.columns
        filters = tuple((one.width, *one.patch, *one.stride, *one.padding) for one in layers)
        return dataclasses.replace(plan, load_options=options, filters=filters or None, start=self.saved.model)

    def fitted(self, data: Dataset) -> Dataset:
        """Data whose classes are those of the file.

        Raises:
          ValueError: a class that the file does not know, or samples of another size.
        """
        model, names = self.saved.model, self.saved.classes
        if data.num_inputs != model.num_inputs:
            raise ValueError(
                f"train: {self.path} takes {model.num_inputs:,} bits a sample, the data have {data.num_inputs:,}"
                + (" and the file has no encoder." if self.saved.encoder is None else ".")
            )
        if names is None:
            if data.num_classes != model.num_classes:
                raise ValueError(
                    f"train: {self.path} knows {model.num_classes} classes, the data have {data.num_classes}."
                )
            return data
        place = class_indices(data.classes, names, f"train: {self.path}")
        return dataclasses.replace(
            data, train_y=place[data.train_y], test_y=place[data.test_y], classes=names, num_classes=len(names)
        )

    def _convolutions(self) -> list[Convolution]:
        return [layer for layer in self.saved.model.layers if isinstance(layer, Convolution)]
