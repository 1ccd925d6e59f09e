"""The convolution as C: patches cut row by row of bits, the learning pass at every position, the way back to pixels.

Axis letters: K bits of a patch, N neurons (channels out), M positions, C channels in.
Source: arXiv 2512.04189, Section 3.
"""

from typing import TYPE_CHECKING

from bep_jax.kernels import bits
from bep_jax.network.layers.layer import CLearning, CPlace

if TYPE_CHECKING:
    from bep_jax.network.layers.convolution import Convolution

COPY = """\
/* Copies bits to where all of them are 0. */
static inline void @prefix@_copy(uint32_t *to, uint32_t at, const uint32_t *from, uint32_t start, uint32_t count)
{
    while (count > 0) {
        const uint32_t place = at & 31u, shift = start & 31u;
        uint32_t size = 32u - (place > shift ? place : shift);
        size = size < count ? size : count;
        to[at >> 5] |= ((from[start >> 5] >> shift) & (0xffffffffu >> (32u - size))) << place;
        at += size;
        start += size;
        count -= size;
    }
}
"""

_ASK = """\
/* Counts what the gated neurons of one position want of at most 32 bits of its patch, and returns how many they are. */
static inline uint32_t @prefix@_ask(const uint32_t *weights, uint32_t num_neurons, uint32_t num_inputs,
    const uint32_t *desired, const uint32_t *gates, uint32_t start, uint32_t size, uint32_t *planes)
{
    const uint32_t num_words = (num_inputs + 31u) / 32u;
    uint32_t n, word, asking = 0;
    for (n = 0; n < num_neurons; n++)
        if (@prefix@_bit(gates, n)) {
            word = 0;
            @prefix@_copy(&word, 0, &weights[num_words * n], start, size);
            @prefix@_count(planes, @prefix@_bit(desired, n) ? word : ~word);
            asking++;
        }
    return asking;
}
"""


def forward(layer: "Convolution", weights: tuple[str, ...], source: str, target: str) -> list[str]:
    """Lines from packed inputs to packed outputs."""
    words = bits.num_words(layer.grid.fan_in)
    body = [
        f"for (n = 0; n < {layer.width}u; n++)",
        f"    @prefix@_set({target}, m++, 2u * @prefix@_distance(&{weights[0]}[{words}u * n], patch, {words}u)",
        f"        <= {layer.grid.fan_in}u);",
    ]
    names, loops = _over_patches(layer, source, [], body)
    return [
        "{",
        f"    uint32_t patch[{words}], n, m = 0, {', '.join(names)};",
        f"    @prefix@_clear({target}, {bits.num_words(layer.num_outputs)}u);",
        *(f"    {line}" for line in (*loops, *_past(layer, source, target))),
        "}",
    ]


def learning(layer: "Convolution", place: CPlace) -> CLearning:
    """The learning pass. A position is a row of the batch: its patch, what it should show, and who learns there."""
    i, positions, fan_in, width = place.number, layer.grid.positions, layer.grid.fan_in, layer.width
    words_k, words_n, words_out = bits.num_words(fan_in), bits.num_words(width), bits.num_words(layer.num_outputs)
    tied = layer.learns == "tied winners"
    rows = place.batch * positions
    sums = f"@prefix@_sums(@prefix@_signs_{place.matrix}, {width}u, {fan_in}u, {{}}, z_{i}, y_{i});"

    # Forward a patch at a time, of which band and gate take what they need: no sum is kept.
    at_patch = [
        sums.format("patch"),
        f"@prefix@_copy({place.target}, {width}u * m, y_{i}, 0, {width}u);",
    ]
    if layer.learns == "band":
        at_patch.append(f"@prefix@_gate(z_{i}, {width}u, {place.band - 1}, &winners_{i}[{words_n}u * m]);")
    if place.below is not None:
        at_patch.append(f"@prefix@_gate(z_{i}, {width}u, {place.gate}, &gates_{i}[{words_n}u * m]);")
    begin = [f"uint32_t *const patch = &patches_{i}[{words_k}u * m];"]
    names, loops = _over_patches(layer, f"inputs_{i}", begin, [*at_patch, "m++;"])
    forward = [
        "{",
        f"    uint32_t m = 0, {', '.join(names)};",
        f"    @prefix@_clear({place.target}, {words_out}u);",
        *(f"    {line}" for line in (*loops, *_past(layer, f"inputs_{i}", place.target))),
        "}",
    ]

    row = f"[{words_n}u * i]"
    backward = [
        f"@prefix@_clear(wanted_{i}, {positions * words_n}u);",
        f"for (i = 0; i < {positions}u; i++)",
        f"    @prefix@_copy(&wanted_{i}{row}, 0, desired_{i}, {width}u * i, {width}u);",
    ]
    again = sums.format(f"&patches_{i}[{words_k}u * i]")
    if layer.learns == "winners":
        backward += [
            f"for (i = 0; i < {positions}u; i++) {{",
            f"    {again}",
            f"    for (c = 0; c < {words_n}u; c++)",
            f"        winners_{i}[{words_n}u * i + c] = y_{i}[c] ^ wanted_{i}[{words_n}u * i + c];",
            f"    @prefix@_compete(z_{i}, {width}u, @prefix@_group_size[{i}], &winners_{i}{row});",
            "}",
        ]
    elif tied:
        backward += [
            f"for (c = 0; c < {width}u; c++)",
            f"    u_{i}[c] = 0;",
            f"for (i = 0; i < {positions}u; i++) {{",
            f"    {again}",
            f"    for (c = 0; c < {width}u; c++)",
            f"        u_{i}[c] += @prefix@_bit(&wanted_{i}{row}, c) ? z_{i}[c] : -z_{i}[c];",
            "}",
            f"@prefix@_clear(winners_{i}, {words_n}u);",
            f"for (c = 0; c < {width}u; c++)",
            f"    @prefix@_set(winners_{i}, c, u_{i}[c] < 0);",
            f"@prefix@_compete(u_{i}, {width}u, @prefix@_group_size[{i}], winners_{i});",
            f"@prefix@_num_rows_{i}[@prefix@_kept] = {positions}u;",
        ]
    if place.below is not None:
        backward += _back(layer, place)

    won = 1 if tied else positions
    memory = [
        ("uint32_t", f"patches_{i}", rows * words_k),
        ("uint32_t", f"wanted_{i}", rows * words_n),
        ("uint32_t", f"winners_{i}", place.batch * won * words_n),
    ]
    buffers = [
        ("uint32_t", f"inputs_{i}", bits.num_words(layer.num_inputs)),
        ("uint32_t", f"desired_{i}", words_out),
        ("int32_t", f"z_{i}", width),
        ("uint32_t", f"y_{i}", words_n),
    ]
    if place.below is not None:
        buffers.append(("uint32_t", f"gates_{i}", positions * words_n))
    if tied:
        memory.append(("uint16_t", f"num_rows_{i}", place.batch))
        buffers.append(("int32_t", f"u_{i}", width))
    learns = f"@prefix@_kept, @prefix@_num_rows_{i}" if tied else f"{positions}u * @prefix@_kept, 0"
    overlap = 1
    for patch, stride in zip(layer.patch, layer.stride, strict=True):
        overlap *= -(-patch // stride)
    return CLearning(
        memory=tuple(memory),
        buffers=tuple(buffers),
        places=[
            f"uint32_t *const {name}_{i} = &@prefix@_{name}_{i}[{size}u * @prefix@_kept];"
            for name, size in (
                ("patches", positions * words_k),
                ("wanted", positions * words_n),
                ("winners", won * words_n),
            )
        ],
        forward=forward,
        backward=backward,
        updates=(f"{learns}, @prefix@_winners_{i}, @prefix@_wanted_{i}, @prefix@_patches_{i}",),
        rows=rows,
        counts=max(rows, overlap * width),
        support=_ASK,
    )


def _past(layer: "Convolution", source: str, target: str) -> list[str]:
    """What goes past the convolution."""
    start = layer.num_outputs - layer.extra
    moved = f"@prefix@_copy({target}, {start}u, {source}, {layer.grid.num_bits}u, {layer.extra}u);"
    return [moved] if layer.extra else []


def _over_patches(layer: "Convolution", source: str, begin: list[str], body: list[str]) -> tuple[list[str], list[str]]:
    """Names to declare, and loops over positions: ``begin``, then the patch is cut into ``patch``, then ``body``."""
    grid, last = layer.grid, len(layer.patch) - 1
    names = [f"{kind}{axis}" for kind, axes in (("m", last + 1), ("r", last)) for axis in range(axes)]
    cut = [f"@prefix@_clear(patch, {bits.num_words(grid.fan_in)}u);"]
    row, place = [], []
    for axis in range(last):
        pad, size = layer.padding[axis], layer.image_shape[axis]
        line = [f"for (r{axis} = 0; r{axis} < {layer.patch[axis]}u; r{axis}++) {{"]
        at = f"{layer.stride[axis]}u * m{axis} + r{axis}"
        if pad:
            line.append(f"    if ({at} < {pad}u || {at} >= {size + pad}u)")
            line.append("        continue;")
            at += f" - {pad}u"
        row += ["    " * axis + text for text in line]
        place.append((at, size, f"r{axis}", layer.patch[axis]))
    inner = "    " * last
    pad, size, patch = layer.padding[last], layer.image_shape[last], layer.patch[last]
    first, skip, end = f"{layer.stride[last]}u * m{last}", "0u", f"{patch}u"
    if pad:
        cut.append(f"skip = {first} < {pad}u ? {pad}u - {first} : 0;")
        cut.append(f"end = {first} + {patch}u > {size + pad}u ? {size + pad}u - {first} : {patch}u;")
        skip, end, first = "skip", "end", f"{first} + skip - {pad}u"
        names += ["skip", "end"]
    start, to = (
        _flat([(at, n) for at, n, _, _ in place] + [(first, size)]),
        _flat([(inside, n) for _, _, inside, n in place] + [(skip, patch)]),
    )
    row.append(
        f"{inner}@prefix@_copy(patch, {layer.channels}u * ({to}), {source}, {layer.channels}u * ({start}), "
        f"{layer.channels}u * ({end} - {skip}));"
    )
    row += ["    " * axis + "}" for axis in reversed(range(last))]
    loops = [f"for (m{axis} = 0; m{axis} < {count}u; m{axis}++)" for axis, count in enumerate(grid.counts)]
    return names, [
        *loops[:-1],
        f"{loops[-1]} {{",
        *(f"    {line}" for line in (*begin, *cut, *row, *body)),
        "}",
    ]


def _back(layer: "Convolution", place: CPlace) -> list[str]:
    """The way back: each pixel, at most 32 channels at a time, asks all patches that hold it."""
    i, axes, grid = place.number, range(len(layer.patch)), layer.grid
    words_n = bits.num_words(layer.width)
    position = _flat([(f"m{a}", grid.counts[a]) for a in axes])
    inside = _flat([(f"r{a}", layer.patch[a]) for a in axes])
    pixel = _flat([(f"p{a}", layer.image_shape[a]) for a in axes])
    body = ["@prefix@_clear(planes, @PLANES@u);", "asking = 0;"]
    for a in axes:
        indent, end = "    " * a, grid.counts[a] * layer.stride[a]
        body.append(f"{indent}for (r{a} = 0; r{a} < {layer.patch[a]}u; r{a}++) {{")
        body.append(
            f"{indent}    m{a} = p{a} + {layer.padding[a]}u - r{a}; /* beyond all, where it would be below 0 */"
        )
        if layer.stride[a] == 1:
            body.append(f"{indent}    if (m{a} >= {end}u)")
            body.append(f"{indent}        continue;")
        else:
            body.append(f"{indent}    if (m{a} >= {end}u || m{a} % {layer.stride[a]}u != 0)")
            body.append(f"{indent}        continue;")
            body.append(f"{indent}    m{a} /= {layer.stride[a]}u;")
    inner = "    " * len(axes)
    body += [
        f"{inner}m = {words_n}u * ({position});",
        f"{inner}asking += @prefix@_ask(@prefix@_signs_{place.matrix}, {layer.width}u, {grid.fan_in}u, &wanted_{i}[m],",
        f"{inner}    &gates_{i}[m], {layer.channels}u * ({inside}) + first, size, planes);",
        *("    " * a + "}" for a in reversed(axes)),
        "word = @prefix@_at_least(planes, (asking + 1u) / 2u);",
        f"@prefix@_copy({place.below}, {layer.channels}u * ({pixel}) + first, &word, 0, size);",
    ]
    names = ", ".join(f"{kind}{a}" for kind in "prm" for a in axes)
    loops = [f"for (p{a} = 0; p{a} < {size}u; p{a}++)" for a, size in enumerate(layer.image_shape)]
    return [
        "{",
        f"    uint32_t planes[@PLANES@], {names}, m, first, size, asking, word;",
        f"    @prefix@_clear({place.below}, {bits.num_words(layer.num_inputs)}u);",
        *(f"    {loop}" for loop in loops),
        f"        for (first = 0; first < {layer.channels}u; first += 32u) {{",
        f"            size = {layer.channels}u - first < 32u ? {layer.channels}u - first : 32u;",
        *(f"            {line}" for line in body),
        "        }",
        "}",
    ]


def _flat(places: list[tuple[str, int]]) -> str:
    """The C of a flat index, from (index, size) of each axis."""
    index = ""
    for at, size in places:
        index = f"{size}u * ({index}) + {at}" if index else at
    return index
