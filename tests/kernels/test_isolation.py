"""The fusion walls hold: in a compiled program every kernel is a call of its own, and products read finished words.

Without them XLA:CPU repeats the packing inside the popcount loops, which costs a step a factor of fifty. Timings
would show it, but not in a test; the compiled program does.
"""

import functools
import re
from typing import NamedTuple

import cases
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import bep_jax as bep
from bep_jax.kernels import isolate, products

MODEL = bep.mlp(num_inputs=784, widths=(525, 525, 525), num_classes=10)
RULE = bep.Rule(group_size=15)
STEPS, BATCH = 3, 100

# What may stand between a product's operands in memory and its popcount: moving words about, and the product's own
# bitwise operation. Packing needs more: shifts, selects, comparisons or a sum.
MOVES = {"parameter", "constant", "broadcast", "transpose", "copy", "bitcast", "bitcast-convert", "reshape", "pad"}
MOVES |= {"slice", "dynamic-slice", "concatenate", "get-tuple-element", "tuple", "xor", "and", "not", "iota"}


def _training(model=MODEL, seeds=None, batch_size=BATCH):
    """Several steps in one scan, and their arguments; with seeds, mapped over them."""
    batch = [STEPS, batch_size, bep.bits.num_words(model.num_inputs)]
    if model.recurrent:
        batch.insert(2, 4)
    hidden = tuple(jnp.ones(shape, jnp.int16) for shape in model.matrix_shapes)
    classifier = jnp.zeros((model.num_classes, bep.bits.num_words(model.widths[-1])), jnp.uint32)
    params = bep.Params(hidden, classifier)
    state = bep.optimizer(RULE, jax.random.key(0)).init(hidden)
    limits = bep.thresholds(model, RULE)

    def run(limits, params, state, x, y):
        def body(carry, data):
            *carry, stats = bep.step(model, limits, *carry, *data)
            return tuple(carry), stats

        return jax.lax.scan(body, (params, state), (x, y))

    data = jnp.zeros(batch, jnp.uint32), jnp.zeros((STEPS, batch_size), jnp.int32)
    if seeds is None:
        return run, (limits, params, state, *data)
    params, state = jax.tree.map(lambda a: jnp.stack([a] * seeds), (params, state))
    return jax.vmap(run, in_axes=(None, 0, 0, None, None)), (limits, params, state, *data)


def _computations(text):
    """Computations of an optimised HLO module: {name: {instruction: (operation, operands, whole line)}}."""
    found, current = {}, None
    for line in text.splitlines():
        head = re.match(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$", line)
        if head:
            current = found[head.group(1)] = {}
        line_match = re.match(r"^\s+(?:ROOT )?%?([\w.\-]+) = (?:\(.*?\)|\S+) ([\w\-]+)\((.*)$", line)
        if line_match and current is not None:
            name, operation, rest = line_match.groups()
            operands = re.findall(r"%([\w.\-]+)", rest.split("), ")[0])
            current[name] = (operation, operands, line)
    return found


def calling(text, kernel):
    """The computations that call a kernel."""
    return {
        computation
        for computation, instructions in _computations(text).items()
        if any(operation == "call" and kernel in line for operation, _, line in instructions.values())
    }


def isolated_calls(text):
    """Calls that XLA was told not to inline, and did not."""
    return [
        line
        for instructions in _computations(text).values()
        for operation, _, line in instructions.values()
        if operation == "call" and 'inlineable="false"' in line
    ]


class Form(NamedTuple):
    """What the products of a CPU with vector popcounts, or of one without, look like in a compiled program."""

    in_vectors: bool
    axes: int  # of the words that they count; elsewhere words have two
    adds: frozenset[str]  # operations between words and popcount beside moves


FORMS = {"vectors": Form(True, 3, frozenset()), "adders": Form(False, 2, frozenset({"or"}))}


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
    """Both are compiled, whatever this machine has, if a test does not name one."""
    monkeypatch.setattr("bep_jax.kernels.popcounts.counts_in_vectors", lambda: FORMS[request.param].in_vectors)
    with apart(request.param):
        yield FORMS[request.param]


def apart(name):
    """A context in which nothing is known of what was traced outside.

    The precision of matrix products, of which there are none, is one of the things that a trace is remembered by;
    ``jax.clear_caches`` would make every test after this one compile all again.
    """
    return jax.default_matmul_precision({"vectors": "float32", "adders": "tensorfloat32", "open": "bfloat16"}[name])


def popcounts(text, form):
    """(computation, instruction) of every popcount of a product."""
    shape = rf"= \w+\[\d+(,\d+){{{form.axes - 1},}}\]"
    return [
        (computation, name)
        for computation, instructions in _computations(text).items()
        for name, (operation, _, line) in instructions.items()
        if operation == "popcnt" and re.search(shape, line)
    ]


def work_inside_products(text, form):
    """Operations other than moves that a popcount's operands go through inside its own fusion."""
    computations, strange = _computations(text), []
    for computation, name in popcounts(text, form):
        instructions, seen, waiting = computations[computation], set(), [name]
        while waiting:
            for operand in instructions[waiting.pop()][1]:
                if operand in instructions and operand not in seen:
                    seen.add(operand)
                    waiting.append(operand)
        fused = computation.startswith(("fused", "wrapped"))  # outside a fusion operands are in memory
        operations = {instructions[s][0] for s in seen} - MOVES - form.adds if fused else set()
        strange += [f"{computation}: {operation}" for operation in sorted(operations)]
    return strange


def _compile(function, *arguments):
    return jax.jit(function, compiler_options=cases.FUSED).lower(*arguments).compile().as_text()


def _assert_isolated(text, form, num_products):
    assert len(popcounts(text, form)) >= num_products
    # Beside each product: packed weights, activations, gates, winners.
    assert len(isolated_calls(text)) >= 2 * num_products, len(isolated_calls(text))
    assert work_inside_products(text, form) == []


@pytest.mark.parametrize(("form", "seeds"), [("vectors", None), ("vectors", 3), ("adders", None)], indirect=["form"])
def test_a_composed_step_in_a_scan_keeps_its_kernels_apart(seeds, form):
    # Three forward, the classifier, two backward, three outer products.
    function, arguments = _training(seeds=seeds)
    _assert_isolated(_compile(function, *arguments), form, num_products=9)


@pytest.mark.parametrize("form", ["vectors"], indirect=True)
def test_a_batch_in_parts_keeps_its_kernels_apart_and_packs_its_weights_once(form):
    function, arguments = _training(batch_size=1024)
    text = _compile(function, *arguments)
    _assert_isolated(text, form, num_products=9)
    packing, products_of_parts = calling(text, "visible_by_neurons"), calling(text, "backward")
    assert packing and products_of_parts and not packing & products_of_parts


def test_a_recurrent_step_keeps_its_kernels_apart(form):
    model = bep.rnn(num_inputs=525, state_width=525, output_width=525, num_classes=10)
    function, arguments = _training(model)
    # Forward: cell, output, classifier; backward: output, cell; outer: three.
    _assert_isolated(_compile(function, *arguments), form, num_products=8)


@pytest.mark.parametrize("form", ["vectors"], indirect=True)
def test_a_step_on_a_mesh_keeps_its_kernels_apart(form):
    _, (limits, params, state, x, y) = _training()

    def run(params, state, x, y):
        def body(carry, data):
            *carry, stats = bep.step(MODEL, limits, *carry, *data, axis_name="batch")
            return tuple(carry), stats

        return jax.lax.scan(body, (params, state), (x, y))

    mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
    specs = (P(), P(), P(None, "batch"), P(None, "batch"))
    text = _compile(jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=False), params, state, x, y)
    _assert_isolated(text, form, num_products=9)
    # The int32 updates of all matrices, summed over the devices.
    assert re.search(r"= .*s32\[525,784\].* all-reduce", text)


def _pack_by_ors(plus):
    """[K, B] to words [W, B] without a sum, so cheap that XLA repeats it wherever it is read."""
    grouped = jnp.pad(plus, ((0, -plus.shape[0] % 32), (0, 0))).reshape(-1, 32, plus.shape[1])
    words = (jnp.where(grouped[:, i], jnp.uint32(1 << i), jnp.uint32(0)) for i in range(32))
    return functools.reduce(jnp.bitwise_or, words)


@pytest.mark.parametrize("form", ["vectors"], indirect=True)
def test_the_check_flags_packing_inside_a_product(form):
    def product(weights, z):
        differences = jax.lax.population_count(weights.T[:, :, None] ^ _pack_by_ors(z >= 0)[:, None, :])
        return jnp.sum(differences, axis=0, dtype=jnp.uint32).astype(jnp.int32)

    def walled(weights, z):
        return products.forward(weights, isolate.isolated(_pack_by_ors)(z >= 0), 525)

    weights, z = jnp.zeros((525, 17), jnp.uint32), jnp.zeros((525, 100), jnp.int32)
    open_text, walled_text = _compile(product, weights, z), _compile(walled, weights, z)
    assert len(popcounts(open_text, form)) == len(popcounts(walled_text, form)) == 1
    assert work_inside_products(open_text, form) and not isolated_calls(open_text)
    assert not work_inside_products(walled_text, form) and len(isolated_calls(walled_text)) == 2


@pytest.mark.parametrize("form", ["vectors"], indirect=True)
def test_the_check_flags_a_step_whose_calls_are_inlined(monkeypatch, form):
    # The walls without their attribute: what a change in XLA or JAX would leave of them.
    class Nothing:
        def __init__(self, **_):
            pass

        __enter__ = __exit__ = lambda *_: None

    monkeypatch.setattr(isolate, "set_xla_metadata", Nothing)
    with apart("open"):
        function, arguments = _training()
        text = _compile(function, *arguments)
    assert isolated_calls(text) == []
    with pytest.raises(AssertionError):
        _assert_isolated(text, form, num_products=9)


def test_isolation_changes_no_value():
    double = isolate.isolated(lambda x: x + x)
    assert int(jax.jit(lambda x: double(double(x)))(jnp.int32(3))) == 12
    assert int(double(jnp.int32(3))) == 6
    scaled = isolate.isolated(static_argnames=("factor",))(lambda x, *, factor: x * factor)
    assert scaled(jnp.arange(3), factor=2).tolist() == [0, 2, 4]
    assert jax.vmap(functools.partial(scaled, factor=3))(jnp.arange(3)).tolist() == [0, 3, 6]
