"""`BEPClassifier`: binary networks as a scikit-learn classifier of tables and images.

Axis letters: n samples, F features, C classes, S networks.
Source: arXiv 2512.04189; https://scikit-learn.org/stable/developers/develop.html.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import jax
import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from bep_jax.data import edges, encode
from bep_jax.estimators import networks
from bep_jax.estimators.bits import usual_counts
from bep_jax.estimators.networks import Networks, Settings, random_of
from bep_jax.estimators.samples import classes_of_stream, plain, repeated, split
from bep_jax.kernels.checks import check_count, check_several
from bep_jax.network.model import Model, conv, mlp

_LEVEL_BITS = 4  # of a pixel's value, beside its edges


class BEPClassifier(ClassifierMixin, BaseEstimator):
    """A scikit-learn classifier of tables and images: binary networks, trained by Binary Error Propagation.

    Features become thermometer bits, a few networks learn side by side from different starts, and they vote. What is
    left at None follows from the shapes of the data. Missing values (NaN) are allowed, features of any scale, too, but
    text columns want a one-hot encoder in front. The rule adds up integers, so weights of samples and of classes say
    how often samples are drawn.

    Args:
      widths: neurons of each hidden layer.
      image_shape: (rows, columns), or with colours (rows, columns, channels): a sample is a flattened image, and
        convolutions read it before the hidden layers. Other numbers of axes work, too, the last of three for channels.
      filters: of the convolutions, (channels, patch, stride) each; see `bep_jax.conv`. None for one that fits.
      bits: thermometer bits a feature; of images a value of a pixel, beside the bits of edges.
      margin: a sample learns while its margin is below this part of the last width; see `bep_jax.Rule`.
      gate: a neuron passes errors on while \\|z\\| is at most this part of its fan-in.
      group_size: neurons of which at most one learns per sample; one, or one a layer.
      reinforcement: how often weights are pushed away from zero.
      scale: of the initial hidden weights.
      n_networks: networks that vote.
      epochs: passes over the data.
      batch_size: samples a step; None for about a twentieth of them.
      validation_fraction: of each class, samples that are held out: group sizes, early stopping and the temperature of
        `predict_proba` rest on them. 0 for none: the temperature is then fitted on the training samples.
      early_stopping: end after ten epochs without a better validation accuracy.
      tune_minutes: search so long for a margin, gate, group size, reinforcement and scale, by `bep_jax.tune` on the
        training samples alone; those given are then where it begins, or ignored. None for what follows from shapes.
      class_weight: None, "balanced" or a dictionary from label to weight: how often a class's samples are learned from.
      warm_start: `fit` goes on from where the last one ended, with the same encoder.
      random_state: an integer for the same networks every time.
      verbose: whether to show a progress bar.

    Attributes:
      classes_: the labels, sorted, of their own type ``[C]``.
      n_features_in_, feature_names_in_: as everywhere in scikit-learn.
      encoder_: from features to packed bits.
      networks_: the trained networks, with ``model``, ``params`` (a leading axis ``[S]``), ``history`` and
        ``temperature``; None where there was one class alone, which is then predicted.
      n_iter_: epochs trained.

    Example:
      >>> from sklearn.datasets import load_wine
      >>> x, y = load_wine(return_X_y=True)
      >>> classifier = BEPClassifier(widths=(35,), epochs=10, random_state=0).fit(x, y)
      >>> bool(classifier.score(x, y) > 0.9), classifier.predict_proba(x[:2]).shape
      (True, (2, 3))
    """

    classes_: np.ndarray
    encoder_: encode.Encoder
    networks_: Networks | None
    n_iter_: int

    def __init__(
        self,
        widths: Sequence[int] = (525, 525),
        *,
        image_shape: Sequence[int] | None = None,
        filters: Sequence[Sequence[int]] | None = None,
        bits: int | None = None,
        margin: float = 0.5,
        gate: float | None = None,
        group_size: int | Sequence[int] | None = None,
        reinforcement: float = 0.5,
        scale: float | None = None,
        n_networks: int = 5,
        epochs: int = 50,
        batch_size: int | None = None,
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        tune_minutes: float | None = None,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.widths = widths
        self.image_shape = image_shape
        self.filters = filters
        self.bits = bits
        self.margin = margin
        self.gate = gate
        self.group_size = group_size
        self.reinforcement = reinforcement
        self.scale = scale
        self.n_networks = n_networks
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.tune_minutes = tune_minutes
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fits the encoder and trains the networks.

        Args:
          X: real numbers ``[n, F]``, or a data frame; NaN is a missing value.
          y: labels ``[n]``, integers or text.
          sample_weight: ``[n]``, how often each sample is there; 0 leaves it out. Fractions are scaled until the least
            is one sample, or all together three times as many.

        Returns:
          The estimator.

        Raises:
          TypeError, ValueError: data or parameters out of range.
        """
        settings, random = Settings.of(self), random_of(self)
        going_on = self.warm_start and hasattr(self, "networks_")
        rows, y, copies = self._checked(X, y, sample_weight, reset=not going_on)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        if going_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"BEPClassifier: warm_start wants the classes of the last fit, {self.classes_}, got {classes}."
            )
        previous = self.networks_ if going_on else None
        self.classes_ = classes
        if not going_on:
            self.encoder_ = self._fitted_encoder(np.repeat(rows, copies, axis=0))
        words, fraction = self.encoder_(rows), self.validation_fraction
        samples = split(words, labels, copies, fraction, self.class_weight, classes, random).of(words)
        self._train(networks.train, settings, samples, random, previous)
        return self

    def partial_fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        classes: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Learns from a batch of a stream, in one pass.

        The first batch fits the encoder, so it should be typical of the stream. The temperature of `predict_proba` is
        fitted on each batch before the networks learn from it.

        Args:
          X: real numbers ``[n, F]``.
          y: labels ``[n]``.
          classes: all labels that the stream will have; needed in the first call.
          sample_weight: as for `fit`.

        Returns:
          The estimator.

        Raises:
          TypeError, ValueError: as `fit`; a label that is not among ``classes``.
        """
        first = not hasattr(self, "networks_")
        rows, y, copies = self._checked(X, y, sample_weight, reset=first)
        check_classification_targets(y)
        known = classes_of_stream(None if first else self.classes_, classes, y)
        settings, random = Settings.of(self), random_of(self)
        self.classes_, labels = known, np.searchsorted(known, y)
        if first:
            self.encoder_ = self._fitted_encoder(np.repeat(rows, copies, axis=0))
        previous = None if first else self.networks_
        words = self.encoder_(rows)
        samples = split(words, labels, copies, 0.0, self.class_weight, known, random).of(words)
        self._train(networks.train_on, settings, samples, random, previous)
        return self

    def decision_function(self, X: npt.ArrayLike) -> np.ndarray:
        """Class scores, summed over the networks: whole numbers as float64 ``[n, C]``; of two classes the second's lead
        ``[n]``."""
        scores = self._scores(X).astype(np.float64)  # what scikit-learn calibrates by
        if len(self.classes_) == 1:
            return scores[:, 0]
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: npt.ArrayLike) -> np.ndarray:
        """The label of the highest score ``[n]``, the first on ties."""
        scores = self._scores(X)
        return self.classes_[np.argmax(scores, axis=1)]

    def predict_proba(self, X: npt.ArrayLike) -> np.ndarray:
        """Probabilities of the classes, float64 ``[n, C]``: the softmax of the scores over a temperature."""
        scores = self._scores(X)
        return np.ones(scores.shape) if self.networks_ is None else self.networks_.probabilities(scores)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _checked(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Samples of a positive weight, their labels, and how often each is there."""
        given = {"X": X, "y": y, "sample_weight": sample_weight}
        X, y, sample_weight = (plain(value, f"BEPClassifier: {name}") for name, value in given.items())
        X, y = validate_data(self, X, y, reset=reset, ensure_all_finite="allow-nan")
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        copies = repeated(weight, len(y))
        return X[copies > 0], y[copies > 0], copies[copies > 0]

    def _fitted_encoder(self, X: np.ndarray) -> encode.Encoder:
        num_bits = None if self.bits is None else check_count(self.bits, "bits", "BEPClassifier")
        if self.image_shape is not None:
            shape, channels = self._image()
            if X.shape[1] != math.prod(shape) * channels:
                raise ValueError(
                    f"BEPClassifier: image_shape={self.image_shape} does not fit samples of {X.shape[1]} features."
                )
            return edges.fit(X.reshape(len(X), *shape, channels), num_bits or _LEVEL_BITS)
        return encode.fit_exactly(X, usual_counts(X.shape[1]) if num_bits is None else np.full(X.shape[1], num_bits))

    def _image(self) -> tuple[tuple[int, ...], int]:
        """Rows and columns, and the values of a pixel."""
        who, name = "BEPClassifier", "image_shape"
        shape = tuple(check_count(n, f"every entry of {name}", who) for n in check_several(self.image_shape, name, who))
        return (shape[:-1], shape[-1]) if len(shape) > 2 else (shape, 1)

    def _model(self) -> Model:
        if self.image_shape is not None:
            shape, _ = self._image()
            return conv(
                image_shape=shape,
                channels=self.encoder_.num_bits // math.prod(shape),
                filters=usual_filters(shape) if self.filters is None else self.filters,
                widths=tuple(self.widths),
                num_classes=len(self.classes_),
            )
        return mlp(num_inputs=self.encoder_.num_bits, widths=tuple(self.widths), num_classes=len(self.classes_))

    def _train(self, train: Callable[..., Networks], settings, samples, random, previous: Networks | None) -> None:
        self.networks_, self.n_iter_ = None, 0
        if len(self.classes_) > 1:
            key = jax.random.key(random.randint(2**31 - 1))
            self.networks_ = train(settings, self._model(), samples, key, previous)
            self.n_iter_ = self.networks_.history["train_accuracy"].shape[1]

    def _scores(self, X) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, plain(X, "BEPClassifier: X"), reset=False, ensure_all_finite="allow-nan")
        if self.networks_ is None:
            return np.zeros((len(X), 1), np.int64)
        return self.networks_.scores(self.encoder_(X))


def usual_filters(shape: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """One convolution of 64 channels, its patch a quarter of an image.

    Example:
      >>> usual_filters((28, 28)), usual_filters((8, 8))
      (((64, 7, 3),), ((64, 3, 1),))
    """
    side = min(shape)
    patch = max(min(3, side), side // 4)
    return ((64, patch, max(1, round(patch * 3 / 7))),)
