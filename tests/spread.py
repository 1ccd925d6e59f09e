"""Small training runs for the tests on several devices; as a script, one process of a group that trains together.

python tests/spread.py <coordinator's address> <number of processes> <this process> <file of the result>
"""

import sys
from types import SimpleNamespace

import jax
import numpy as np

import bep_jax as bep
from bep_jax import encode
from bep_jax.kernels.host import to_host

MODELS = {
    "mlp": bep.mlp(num_inputs=40, widths=(15, 30), num_classes=3),
    "rnn": bep.rnn(num_inputs=20, state_width=15, output_width=30, num_classes=3),
    "conv": bep.conv(image_shape=(4, 5), channels=2, filters=((7, 3, 1),), widths=(15,), num_classes=3),
}
SEEDS, STEPS = 4, 75


def fit(model, mesh=None, **options):
    """75 steps: 15 epochs of five batches of ten, the last with eight; three words of history a seed."""
    rng = np.random.default_rng(0)
    time_steps = (4,) if model.recurrent else ()
    patterns = rng.random((model.num_classes, *time_steps, model.num_inputs)) < 0.5

    def part(size):
        y = rng.integers(0, model.num_classes, size).astype(np.int32)
        x = patterns[y] ^ (rng.random((size, *time_steps, model.num_inputs)) < 0.3)
        return encode.pack_host(x), y

    (train_x, train_y), (test_x, test_y) = part(53), part(21)
    data = SimpleNamespace(train_x=train_x, train_y=train_y, test_x=test_x, test_y=test_y)
    defaults = {"epochs": STEPS // 5, "batch_size": 10, "seeds": SEEDS, "patience": 2, "progress": False}
    rule = bep.Rule(gate=0.3, group_size=5)  # groups of dense layers; filters learn by band
    moves = {"shift": 1, "mirror": True} if isinstance(model.layers[0], bep.Convolution) else {}
    return bep.fit(model, rule, data, mesh=mesh, **defaults | moves | options)


def arrays(result) -> dict[str, np.ndarray]:
    """What must be the same on any number of devices, by name."""
    state = result.state._replace(key=jax.random.key_data(result.state.key))
    state = state._replace(opt_state=state.opt_state._replace(key=jax.random.key_data(state.opt_state.key)))
    leaves = jax.tree_util.tree_leaves_with_path((result.params, state))
    found = {jax.tree_util.keystr(path): to_host(leaf) for path, leaf in leaves}
    return found | result.history | {"test_accuracy": result.test_accuracy}


def main(address: str, num_processes: str, process: str, path: str) -> None:
    """Joins the group, trains a model on a mesh over all of its devices and saves the arrays."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, int(num_processes), int(process))
    mesh = jax.make_mesh((2, jax.device_count() // 2), ("seeds", "batch"))
    devices = [jax.device_count(), jax.local_device_count()]
    np.savez(path, devices=devices, **arrays(fit(MODELS["mlp"], mesh)))
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
