"""C around a network's prediction: series cut and padded as `predict` does it, doubt, the names of classes."""

from collections.abc import Sequence

from bep_jax.export.encoder import Stages
from bep_jax.export.source import function
from bep_jax.network.model import Model

_SMALLEST = {"int8_t": "INT8_MIN", "int16_t": "INT16_MIN", "int32_t": "INT32_MIN", "int64_t": "INT64_MIN"}


def helper_functions(model: Model, stages: Stages, window: int | None, classes: Sequence[str] | None) -> list[str]:
    """``decide``; of a recurrent network with a window ``read`` and ``classify``; ``class_name`` if there are names."""
    given = "" if model.recurrent else "const @prefix@_input_t *input, "
    decide = [
        "int32_t logits[@PREFIX@_NUM_CLASSES];",
        "int c, found;",
        f"@prefix@_logits({'' if model.recurrent else 'input, '}logits);",
        "found = @prefix@_argmax(logits);",
        "for (c = 0; c < @PREFIX@_NUM_CLASSES; c++)",
        "    if (c != found && logits[found] - logits[c] < least)",
        "        return -1;",
        "return found;",
    ]
    functions = [
        f"/* The class, or -1 for doubt: its logit leads by less than least, 1 to {2 * model.num_outputs}. */",
        function(f"int @prefix@_decide({given}int32_t least)", decide),
    ]
    if model.recurrent and window is not None:
        functions += _window_functions(stages)
    if classes is not None:
        names = ", ".join(f'"{_escaped(name)}"' for name in classes)
        body = [
            f"static const char *const names[@PREFIX@_NUM_CLASSES] = {{{names}}};",
            'return c < 0 || c >= @PREFIX@_NUM_CLASSES ? "?" : names[c];',
        ]
        functions += [
            "/* What a class is called, in UTF-8. */",
            function("const char *@prefix@_class_name(int c)", body),
        ]
    return functions


def missing_bytes(model: Model, stages: Stages, window: int | None) -> int:
    """What a step of missing values takes on the stack."""
    if not model.recurrent or window is None or stages.takes_words:
        return 0
    return (
        stages.num_inputs
        * {"8": 1, "16": 2, "32": 4, "64": 8, "float": 4, "double": 8}[
            stages.input_type.removeprefix("u").removeprefix("int").removesuffix("_t")
        ]
    )


def _window_functions(stages: Stages) -> list[str]:
    take = [
        "@prefix@_reset();",
        "@pad@",
        "for (t = length > @PREFIX@_WINDOW ? length - @PREFIX@_WINDOW : 0; t < length; t++)",
        "    @prefix@_step(&series[@PREFIX@_NUM_INPUTS * t]);",
        "return 0;",
    ]
    if stages.takes_words:
        first, pad = (
            ["uint32_t t;"],
            ["if (length < @PREFIX@_WINDOW)", "    return -1; /* bits have no missing value */"],
        )
    else:
        value = "NAN" if stages.is_float else _SMALLEST.get(stages.input_type, "0")
        first = ["@prefix@_input_t missing[@PREFIX@_NUM_INPUTS];", "uint32_t t;"]
        pad = [
            "for (t = 0; t < @PREFIX@_NUM_INPUTS; t++)",
            f"    missing[t] = {value};",
            "for (t = length; t < @PREFIX@_WINDOW; t++)",
            "    @prefix@_step(missing);",
        ]
    at = take.index("@pad@")
    take[at : at + 1] = pad
    series = "const @prefix@_input_t *series, uint32_t length"
    classify = ["return @prefix@_read(series, length) != 0 ? -1 : @prefix@_predict();"]
    return [
        "/* Takes the last @PREFIX@_WINDOW steps of a series [length, @PREFIX@_NUM_INPUTS], padded in front with",
        " * missing values where it is shorter: 0, or -1 where that is not possible. */",
        function(f"int @prefix@_read({series})", first + take),
        function(f"int @prefix@_classify({series})", classify),
    ]


def _escaped(name: str) -> str:
    """ASCII for a C string: other bytes as three octal digits."""
    special = {ord(c) for c in '"\\?'}
    return "".join(chr(b) if 32 <= b < 127 and b not in special else f"\\{b:03o}" for b in name.encode())
