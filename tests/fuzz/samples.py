"""Good files of every format."""

import atexit
import gzip
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np
from drawn import draw

import bep_jax as bep
from bep_jax.export.on_device.state import Fixed, network_crc


class Files:
    """Good files of every format, in a temporary folder that stays while the process does."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        random_ = np.random.default_rng(0)
        x, y = random_.normal(size=(30, 3)), np.arange(30) % 3
        self.npz = f"{self.folder}/f.npz"
        np.savez_compressed(self.npz, train_x=x, train_y=y, test_x=x, test_y=y, classes=np.array(["a", "b", "c"]))
        self.npy = f"{self.folder}/f.npy"
        np.save(self.npy, np.column_stack([x, x[:, 0] > 0]))  # as many features as the table has
        self.table = f"{self.folder}/f.csv"
        rows = "".join(f"{a:.3f},{b:.2f},{'ru'[k % 2]},{'abc'[k]}\n" for (a, b, _), k in zip(x, y, strict=True))
        Path(self.table).write_text("one,two,colour,y\n" + rows)
        head = "@problemName W\n@univariate true\n@equalLength true\n@classLabel true a b c\n@data\n"
        lines = [",".join(f"{v:.2f}" for v in random_.normal(k, 0.3, 6)) + ":" + "abc"[k] for k in y]
        os.mkdir(f"{self.folder}/W")
        for part in ("TRAIN", "TEST"):
            Path(self.folder, "W", f"W_{part}.ts").write_text(head + "\n".join(lines) + "\n")
        self.series = f"{self.folder}/W/W_TEST.ts"
        pixels = random_.integers(0, 256, (12, 2, 2), dtype=np.uint8)
        self.images = f"{self.folder}/f.idx"
        Path(self.images).write_bytes(np.array([0x803, 12, 2, 2], ">u4").tobytes() + pixels.tobytes())
        self.zipped_images = f"{self.folder}/f.idx.gz"
        Path(self.zipped_images).write_bytes(gzip.compress(Path(self.images).read_bytes()))
        columns = bep.datasets.load(self.table, label="y")
        self.model = f"{self.folder}/f.safetensors"
        model = bep.mlp(num_inputs=columns.num_inputs, widths=(15,), num_classes=3)
        params = draw(model)
        bep.save(self.model, model, params, columns.encoder, columns.classes, hidden=True, columns=columns.columns)
        self.state = f"{self.folder}/state.bin"
        Path(self.state).write_bytes(_state(model, params))
        self.series_model = f"{self.folder}/s.safetensors"
        rnn = bep.rnn(num_inputs=2, state_width=9, output_width=5, num_classes=3)
        encoder = bep.encode.fit_thermometer(random_.normal(size=(9, 1)), 2)
        bep.save(self.series_model, rnn, draw(rnn), encoder, ("a", "b", "c"), window=4)
        self.image_model = f"{self.folder}/i.safetensors"
        conv = bep.conv(image_shape=(2, 2), filters=((5, 2, 1, 1),), widths=(9,), num_classes=3)
        encoder = bep.encode.fit_median(pixels.reshape(12, 4))
        bep.save(self.image_model, conv, draw(conv), encoder, ("a", "b", "c"))


def _state(model: bep.Model, params: bep.Params) -> bytes:
    """What ``bep_save`` of an exported network writes."""
    limits = bep.thresholds(model, bep.Rule())
    fixed = Fixed(np.asarray(limits.base), int(limits.saturation), np.asarray(params.classifier))
    words = [[1, 2], limits.draw, limits.group_size, [0, 0, fixed.saturation], limits.base, fixed.classifier]
    content = b"".join(
        [
            b"BEP\x01" + network_crc(model, fixed).to_bytes(4, "little"),
            *(np.asarray(h).astype("<i2").tobytes() for h in params.hidden),
            *(np.asarray(one).astype("<u4").tobytes() for one in words),
        ]
    )
    return content + zlib.crc32(content).to_bytes(4, "little")
