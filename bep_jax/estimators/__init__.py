"""The library as scikit-learn and aeon have it: estimators with ``fit`` and ``predict``; the extra ``data``.

`BEPClassifier` is a scikit-learn classifier of tables, `BEPTimeSeriesClassifier` one of aeon for series. Only the one
that is asked for is imported, so that the first works without aeon.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bep_jax.estimators.series import BEPTimeSeriesClassifier
    from bep_jax.estimators.tables import BEPClassifier

__all__ = ["BEPClassifier", "BEPTimeSeriesClassifier"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        if name == "BEPClassifier":
            from bep_jax.estimators.tables import BEPClassifier

            return BEPClassifier
        from bep_jax.estimators.series import BEPTimeSeriesClassifier

        return BEPTimeSeriesClassifier
    except ImportError as error:
        raise ImportError(f'{name}: wants scikit-learn and aeon, pip install "bep_jax[data]": {error}.') from error
