"""Binary Error Propagation, slow and obvious: dense ±1 NumPy arrays and plain loops, in int64.

What the package computes on packed words is compared with this, bit for bit. Nothing is imported from the package.

Axis letters: B batch, T time, K inputs, N neurons, C classes, F features. Arrays are batch first. A layer's index is
its place in ``hidden``, from 0; the fan-in of a matrix [N, K] is K.

Sources: Colombo et al., "BEP: A Binary Error Propagation Algorithm for Binary Neural Networks Training", ICLR 2026,
arXiv 2512.04189; the local rule: Colombo, Pittorino, Roveri 2025, arXiv 2412.00119.
"""

import math

import numpy as np


def sign(values):
    """+1 where values >= 0, else -1: sign(0) = +1 everywhere."""
    return np.where(np.asarray(values) >= 0, 1, -1).astype(np.int64)


# Hyper-parameters to integers


def margin_threshold(margin, width):
    """ceil(r·K_L): a sample whose margin is below it is active."""
    return math.ceil(margin * width - 1e-9)


def gate_threshold(gate, fan_in):
    """floor(ν·K), K the fan-in: a neuron whose |z| is at most it lets its target through."""
    return math.floor(gate * fan_in + 1e-9)


def band_threshold(band, fan_in):
    """floor(b·√K), K the fan-in: where a layer learns by band, a neuron does while |z| is below it."""
    return math.floor(band * math.sqrt(fan_in) + 1e-9)


def reinforcement_threshold(reinforcement, fan_in, error=1.0):
    """min(floor(2³²·p), 2³²−1) with p = p_r·√(2/(π·K))·√E: a 32-bit draw below it reinforces."""
    probability = reinforcement * math.sqrt(2.0 / (math.pi * fan_in)) * math.sqrt(error)
    return min(math.floor(2.0**32 * probability), 2**32 - 1)


def thresholds(margin, gate, reinforcement, fan_ins, output_width, error=1.0):
    """The integers that r, ν and p_r mean for matrices with these fan-ins and a classifier on output_width bits.

    MLP: fan_ins = (K_0, .., K_{L-1}), output_width = K_L. RNN: fan_ins = (K_x, K_s, K_s), output_width = K_y.
    The first entry of "gate" is never used: nothing is projected back to the network's input.
    """
    return {
        "margin": margin_threshold(margin, output_width),
        "gate": [gate_threshold(gate, fan_in) for fan_in in fan_ins],
        "reinforcement": [reinforcement_threshold(reinforcement, fan_in, error) for fan_in in fan_ins],
    }


# Pieces that every network shares


def select_active(logits, y, margin, where=None):
    """Which samples take part (Eq. 1): the margin ŷ_c − max_{c'≠c} ŷ_{c'} is below the integer threshold.

    Args: logits [B, C]; y [B], a label outside 0..C−1 is never active; where: bool [B] or None. Returns bool [B].
    """
    batch, num_classes = logits.shape
    active = np.zeros(batch, dtype=bool)
    for b in range(batch):
        if (where is not None and not where[b]) or not 0 <= y[b] < num_classes:
            continue
        others = [int(logits[b, c]) for c in range(num_classes) if c != y[b]]
        active[b] = int(logits[b, y[b]]) - max(others) < margin
    return active


def count_correct(logits, y, where=None):
    """How many samples the argmax (first on ties) gets right."""
    correct = 0
    for b in range(len(y)):
        if where is None or where[b]:
            correct += int(np.argmax(logits[b])) == int(y[b])
    return correct


def class_targets(classifier, y):
    """The classifier's row of each sample's class [B, N]; zeros for a label out of range, which is never active."""
    num_classes, width = classifier.shape
    targets = np.zeros((len(y), width), dtype=np.int64)
    for b, label in enumerate(y):
        if 0 <= label < num_classes:
            targets[b] = classifier[label]
    return targets


def project_back(hidden, z, targets, threshold):
    """Gate and desired input of a dense layer (Eq. 5, 7): g = |z| ≤ threshold, a* = sign(Wᵀ(g ⊙ targets)).

    Args: hidden [N, K]; z, targets [B, N]. Returns gate 0/1 [B, N], desired input ±1 [B, K].
    """
    gate = (np.abs(z) <= threshold).astype(np.int64)
    return gate, sign((gate * targets) @ sign(hidden))


def pick_winners(wrong, score, active, group_size):
    """In each group of each active sample: the wrong neuron with the smallest |score|, lowest index on ties.

    Args: wrong bool [B, N]; score [B, N]; active bool [B]; where group_size does not divide N, the last group is
    shorter. Returns 0/1 [B, N].
    """
    batch, width = score.shape
    winners = np.zeros((batch, width), dtype=np.int64)
    for b in range(batch):
        if not active[b]:
            continue
        for start in range(0, width, group_size):
            best = None
            for i in range(start, min(start + group_size, width)):
                if wrong[b, i] and (best is None or abs(score[b, i]) < abs(score[b, best])):
                    best = i
            if best is not None:
                winners[b, best] = 1
    return winners


def layer_update(winners, targets, inputs):
    """2 Σ_b (M_b ⊙ a*_b) a_bᵀ (Eq. 8, 9), with winners and targets [B, N], inputs [B, K]. Returns [N, K]."""
    update = np.zeros((targets.shape[1], inputs.shape[1]), dtype=np.int64)
    for b in range(len(inputs)):
        update += 2 * np.outer(winners[b] * targets[b], inputs[b])
    return update


# MLP


def mlp_forward(hidden, classifier, x):
    """z_l = W_l a_{l-1}, a_l = sign(z_l), logits = P a_L.

    Args: hidden: list of [N, K]; classifier ±1 [C, K_L]; x ±1 [B, K_0].
    Returns: z, list of [B, N]; a, list of ±1 [B, N], its first entry being x; logits [B, C].
    """
    z, a = [], [np.asarray(x, dtype=np.int64)]
    for h in hidden:
        z.append(a[-1] @ sign(h).T)
        a.append(sign(z[-1]))
    return z, a, a[-1] @ np.asarray(classifier, dtype=np.int64).T


def mlp_step(hidden, classifier, x, y, margin, gate, group_sizes, where=None):
    """Steps 1 to 5 of the training step, for an MLP.

    Args:
        hidden: list of integers [N, K]; classifier: ±1 [C, K_L]; x: ±1 [B, K_0]; y: [B].
        margin: integer threshold; gate: integer threshold of each layer (the first unused); group_sizes: of each layer.
        where: bool [B] or None; False takes no part and is not counted.

    Returns a dict:
        z, list of [B, N]; a, list of ±1 [B, N], a[0] = x; logits [B, C]; active bool [B];
        desired, list of [B, N], of every sample, active or not (the last layer's 0 where the label is out of range);
        gates, list of 0/1 [B, N], the first None; winners, list of 0/1 [B, N];
        updates, list of [N, K], factor 2 included;
        counts: {"active", "correct": int, "winners": list of int, one per layer}.
    """
    hidden = [np.asarray(h, dtype=np.int64) for h in hidden]
    classifier = np.asarray(classifier, dtype=np.int64)
    z, a, logits = mlp_forward(hidden, classifier, x)
    active = select_active(logits, y, margin, where)

    num_layers = len(hidden)
    desired, gates = [None] * num_layers, [None] * num_layers
    desired[-1] = class_targets(classifier, y)
    for layer in range(num_layers - 1, 0, -1):
        gates[layer], desired[layer - 1] = project_back(hidden[layer], z[layer], desired[layer], gate[layer])

    winners, updates = [], []
    for layer in range(num_layers):
        wrong = a[layer + 1] != desired[layer]
        winners.append(pick_winners(wrong, z[layer], active, group_sizes[layer]))
        updates.append(layer_update(winners[layer], desired[layer], a[layer]))

    counts = {
        "active": int(active.sum()),
        "correct": count_correct(logits, y, where),
        "winners": [int(w.sum()) for w in winners],
    }
    return {
        "z": z,
        "a": a,
        "logits": logits,
        "active": active,
        "desired": desired,
        "gates": gates,
        "winners": winners,
        "updates": updates,
        "counts": counts,
    }


# RNN


def rnn_forward(hidden, classifier, x):
    """s_t = sign(W_xs a_t + W_ss s_{t−1}), s_0 = all +1; s_y = sign(W_sy s_T); logits = P s_y.

    Args: hidden: (H_xs [K_s, K_x], H_ss [K_s, K_s], H_sy [K_y, K_s]); classifier ±1 [C, K_y]; x ±1 [B, T, K_x].
    Returns: z [B, T, K_s]; s [B, T+1, K_s], s[:, 0] being s_0; z_y, s_y [B, K_y]; logits [B, C].
    """
    w_xs, w_ss, w_sy = (sign(h) for h in hidden)
    x = np.asarray(x, dtype=np.int64)
    batch, steps, _ = x.shape
    width = w_ss.shape[0]
    z = np.zeros((batch, steps, width), dtype=np.int64)
    s = np.ones((batch, steps + 1, width), dtype=np.int64)
    for t in range(1, steps + 1):
        z[:, t - 1] = x[:, t - 1] @ w_xs.T + s[:, t - 1] @ w_ss.T
        s[:, t] = sign(z[:, t - 1])
    z_y = s[:, steps] @ w_sy.T
    s_y = sign(z_y)
    return z, s, z_y, s_y, s_y @ np.asarray(classifier, dtype=np.int64).T


def rnn_step(hidden, classifier, x, y, margin, gate, group_sizes, horizon=None, where=None, gated_update=False):
    """Steps 1 to 5 of the training step, for a recurrent network: BEP-TT with one mask shared by all time steps.

    Args:
        hidden: (H_xs [K_s, K_x], H_ss [K_s, K_s], H_sy [K_y, K_s]); classifier: ±1 [C, K_y]; x: ±1 [B, T, K_x]; y: [B].
        margin: integer threshold; gate: integer thresholds of (xs, ss, sy), the first unused.
        group_sizes: (state, output); horizon: sum over the last so many time steps, None all; where: bool [B] or None;
        gated_update: winners learn only from time steps at which their gate is open (not in the paper).

    Returns a dict, layers being (state, output):
        z: [B, T, K_s], [B, K_y]; a: states with s_0 in front [B, T+1, K_s], output [B, K_y]; logits [B, C];
        active bool [B]; desired: [B, T, K_s], [B, K_y], of all times and samples; gates 0/1: [B, T, K_s], [B, K_y], a
        state's gate at the first time step is never used; stability: u [B, K_s], summed over the horizon;
        winners: [B, K_s], [B, K_y]; updates: (xs, ss, sy), factor 2 included;
        counts: {"active", "correct": int, "winners": list of int, (state, output)}.
    """
    hidden = [np.asarray(h, dtype=np.int64) for h in hidden]
    _, h_ss, h_sy = hidden
    classifier = np.asarray(classifier, dtype=np.int64)
    x = np.asarray(x, dtype=np.int64)
    batch, steps, _ = x.shape
    horizon = steps if horizon is None else horizon
    assert horizon >= 1, horizon
    z, s, z_y, s_y, logits = rnn_forward(hidden, classifier, x)
    active = select_active(logits, y, margin, where)

    # Time t = 1..T is at place t − 1 of z, desired and gates, at place t of s.
    desired_y = class_targets(classifier, y)
    desired = np.zeros_like(z)
    gates = (np.abs(z) <= gate[1]).astype(np.int64)
    gate_y, desired[:, steps - 1] = project_back(h_sy, z_y, desired_y, gate[2])
    for t in range(steps - 1, 0, -1):
        _, desired[:, t - 1] = project_back(h_ss, z[:, t], desired[:, t], gate[1])

    window = [t for t in range(1, steps + 1) if t > steps - horizon]
    stability = np.zeros((batch, z.shape[2]), dtype=np.int64)
    for t in window:
        stability += desired[:, t - 1] * z[:, t - 1]
    winners = pick_winners(stability < 0, stability, active, group_sizes[0])
    winners_y = pick_winners(s_y != desired_y, z_y, active, group_sizes[1])

    update_xs, update_ss = np.zeros_like(hidden[0]), np.zeros_like(hidden[1])
    for t in window:
        learning = winners * gates[:, t - 1] if gated_update else winners
        update_xs += layer_update(learning, desired[:, t - 1], x[:, t - 1])
        update_ss += layer_update(learning, desired[:, t - 1], s[:, t - 1])
    update_sy = layer_update(winners_y, desired_y, s[:, steps])

    counts = {
        "active": int(active.sum()),
        "correct": count_correct(logits, y, where),
        "winners": [int(winners.sum()), int(winners_y.sum())],
    }
    return {
        "z": [z, z_y],
        "a": [s, s_y],
        "logits": logits,
        "active": active,
        "desired": [desired, desired_y],
        "gates": [gates, gate_y],
        "stability": stability,
        "winners": [winners, winners_y],
        "updates": [update_xs, update_ss, update_sy],
        "counts": counts,
    }


# Convolutions, then dense layers


def conv_patches(x, shape, channels, patch, stride, padding):
    """Patches of images ±1 [B, pixels · channels], row by row: [B, M, K]; -1 outside. All but channels by axis."""
    batch = len(x)
    image = np.full((batch, *(n + 2 * p for n, p in zip(shape, padding, strict=True)), channels), -1, dtype=np.int64)
    inside = tuple(slice(p, p + n) for n, p in zip(shape, padding, strict=True))
    image[(slice(None), *inside)] = np.reshape(x, (batch, *shape, channels))
    counts = tuple((n + 2 * p - k) // s + 1 for n, p, k, s in zip(shape, padding, patch, stride, strict=True))
    cut = []
    for place in np.ndindex(counts):
        window = tuple(slice(i * s, i * s + k) for i, s, k in zip(place, stride, patch, strict=True))
        cut.append(image[(slice(None), *window)].reshape(batch, -1))
    return np.stack(cut, axis=1)


def conv_fold(values, shape, channels, patch, stride, padding):
    """Adds up what patches [B, M, K] say of their inputs: [B, pixels · channels], by the place of every single one."""
    batch = len(values)
    number = np.arange(1, 1 + math.prod(shape) * channels)[None]  # every input by its number; padding shows as -1
    places = conv_patches(number, shape, channels, patch, stride, padding)[0]
    total = np.zeros((batch, number.size), dtype=np.int64)
    for position, inputs in enumerate(places):
        for k, one in enumerate(inputs):
            if one > 0:
                total[:, one - 1] += values[:, position, k]
    return total


def conv_step(hidden, classifier, x, y, margin, gate, selections, convolutions, where=None):
    """Steps 1 to 5 of the training step, for convolutions under dense layers.

    Args: as for mlp_step, and
        selections: of each layer κ where it learns by band (|z| < κ, right or wrong), else the group size.
        convolutions: of each layer None if it is dense, else (shape, channels, patch, stride, padding, learns), learns
        being "band", "winners" (of each position) or "tied winners" (on the stability summed over positions). Inputs
        behind those of the image go past it.

    Returns a dict as mlp_step does; z, desired, gates and winners of a convolution are [B, M, N].
    """
    hidden = [np.asarray(h, dtype=np.int64) for h in hidden]
    classifier = np.asarray(classifier, dtype=np.int64)
    batch, num_layers = len(y), len(hidden)
    z, inputs, a = [], [], np.asarray(x, dtype=np.int64)
    for h, about in zip(hidden, convolutions, strict=True):
        pixels = a.shape[1] if about is None else math.prod(about[0]) * about[1]
        inputs.append(a if about is None else conv_patches(a[:, :pixels], *about[:5]))
        z.append(inputs[-1] @ sign(h).T)
        a = np.concatenate([sign(z[-1]).reshape(batch, -1), a[:, pixels:]], axis=1)  # what goes past convolutions
    logits = a @ classifier.T
    active = select_active(logits, y, margin, where)

    desired, gates = [None] * num_layers, [None] * num_layers
    wanted = class_targets(classifier, y)
    for layer in range(num_layers - 1, -1, -1):
        desired[layer] = wanted[:, : z[layer][0].size].reshape(z[layer].shape)
        if layer == 0:
            break
        gates[layer] = (np.abs(z[layer]) <= gate[layer]).astype(np.int64)
        back = (gates[layer] * desired[layer]) @ sign(hidden[layer])
        about = convolutions[layer]
        wanted = sign(back if about is None else conv_fold(back, *about[:5]))

    winners, updates = [], []
    for layer, about in enumerate(convolutions):
        learns = "winners" if about is None else about[5]
        score, wrong = z[layer], sign(z[layer]) != desired[layer]
        if learns == "band":
            mask = (np.abs(score) < selections[layer]) * active.reshape(-1, *(1,) * (score.ndim - 1))
        elif learns == "tied winners":
            stability = np.sum(score * desired[layer], axis=1)
            shared = pick_winners(stability < 0, stability, active, selections[layer])
            mask = np.broadcast_to(shared[:, None], score.shape)
        elif about is None:
            mask = pick_winners(wrong, score, active, selections[layer])
        else:
            each = [pick_winners(wrong[:, m], score[:, m], active, selections[layer]) for m in range(score.shape[1])]
            mask = np.stack(each, axis=1)
        winners.append(mask.astype(np.int64))
        rows = [v.reshape(-1, v.shape[-1]) for v in (winners[-1], desired[layer], inputs[layer])]
        updates.append(layer_update(*rows))

    counts = {
        "active": int(active.sum()),
        "correct": count_correct(logits, y, where),
        "winners": [int(w.sum()) for w in winners],
    }
    return {
        "z": z,
        "logits": logits,
        "active": active,
        "desired": desired,
        "gates": gates,
        "winners": winners,
        "updates": updates,
        "counts": counts,
    }


# Local rule


def local_rule_step(hidden, classifiers, x, y, margins, group_sizes, where=None):
    """The local rule: every layer has its own classifier, trigger and target; nothing is projected back.

    Args: as for mlp_step; classifiers: list of ±1 [C, N]; margins: integer threshold of each layer, ceil(r·K_l).
    Returns a dict: z, a as in mlp_step; and by layer logits [B, C], active [B], desired, winners, updates;
        counts: {"correct": int, of the last layer, "active", "winners": list of int}.
    """
    hidden = [np.asarray(h, dtype=np.int64) for h in hidden]
    classifiers = [np.asarray(p, dtype=np.int64) for p in classifiers]
    z, a, _ = mlp_forward(hidden, classifiers[-1], x)
    logits, active, desired, winners, updates = [], [], [], [], []
    for layer, classifier in enumerate(classifiers):
        scores = a[layer + 1] @ classifier.T
        logits.append(scores)
        triggered = np.zeros(len(y), dtype=bool)
        for b in range(len(y)):
            if (where is not None and not where[b]) or not 0 <= y[b] < len(classifier):
                continue
            second, first = sorted(int(score) for score in scores[b])[-2:]
            triggered[b] = int(np.argmax(scores[b])) != y[b] or first - second < margins[layer]
        active.append(triggered)
        desired.append(class_targets(classifier, y))
        wrong = a[layer + 1] != desired[layer]
        winners.append(pick_winners(wrong, z[layer], triggered, group_sizes[layer]))
        updates.append(layer_update(winners[layer], desired[layer], a[layer]))
    counts = {
        "active": [int(t.sum()) for t in active],
        "correct": count_correct(logits[-1], y, where),
        "winners": [int(w.sum()) for w in winners],
    }
    return {
        "z": z,
        "a": a,
        "logits": logits,
        "active": active,
        "desired": desired,
        "winners": winners,
        "updates": updates,
        "counts": counts,
    }


# Hidden weights


def initial_hidden(normals):
    """h = 2⌊n/2⌋ + 1, n being drawn from N(0, σ²) already."""
    return (2 * np.floor(np.asarray(normals) / 2) + 1).astype(np.int64)


def reinforce(hidden, draws, threshold):
    """h + 2 sign(h) where the 32-bit draw is below the threshold; hidden is what the update left."""
    hidden = np.asarray(hidden, dtype=np.int64)
    return hidden + np.where(np.asarray(draws, dtype=np.int64) < int(threshold), 2 * sign(hidden), 0)


def saturate(hidden, bits):
    """Clip to [−(2^{bits−1}−1), 2^{bits−1}−1]."""
    limit = 2 ** (bits - 1) - 1
    return np.clip(np.asarray(hidden, dtype=np.int64), -limit, limit)


# Group-size schedule


def next_group_size(width, group_size):
    """The next larger divisor of width; width itself has none and stays."""
    for larger in range(group_size + 1, width + 1):
        if width % larger == 0:
            return larger
    return group_size


def group_size_schedule(widths, group_sizes, correct, patience=10):
    """Group sizes of every epoch, from the validation-correct counts at the ends of the epochs.

    Returns a list of tuples, one longer than `correct`: entry e is in force during epoch e (from 0), the last one after
    all of them. The first epoch always improves; all layers grow together; the best stays and the count restarts.
    """
    sizes = tuple(group_sizes)
    schedule, best, stalled = [sizes], -1, 0
    for count in correct:
        if count > best:
            best, stalled = count, 0
        else:
            stalled += 1
        if stalled == patience:
            sizes = tuple(next_group_size(width, size) for width, size in zip(widths, sizes, strict=True))
            stalled = 0
        schedule.append(sizes)
    return schedule


# Encoders


def distributive_places(column, num_bits):
    """Where a feature's thresholds go: after which of its sorted distinct values.

    The paper's t_i is the sorted value (NaN left out) at index ⌊n·i/(b+1)⌋, i = 1..b. A threshold that stands there
    already, or has nothing above it, is left over. The same is done with as many as are left over, on the values with
    no threshold above them but the largest, until none is left over or no value has room.
    """
    values = sorted(value for value in column if not math.isnan(value))
    distinct = sorted(set(values))
    places = set()
    first = True
    while len(places) < min(num_bits, len(distinct) - 1):
        left = num_bits - len(places)
        pool = values if first else [v for v in values if v not in places and v != distinct[-1]]
        room = {v for v in pool if v not in places and v != distinct[-1]}
        if left >= len(distinct if first else room):
            places |= room
            break
        places |= {pool[len(pool) * i // (left + 1)] for i in range(1, left + 1)} - {distinct[-1]}
        first = False
    return sorted(places), distinct


def thermometer_thresholds(train, num_bits, integers=False):
    """For each feature the thresholds, halfway from their place to the next larger value: train [..., F] -> F lists."""
    columns = np.asarray(train).reshape(-1, np.shape(train)[-1]).T
    levels = []
    for column in columns:
        places, distinct = distributive_places(column.tolist(), num_bits)
        halves = [(low + distinct[distinct.index(low) + 1]) / 2 for low in places]
        levels.append([math.floor(half) for half in halves] if integers else halves)
    return levels


def thermometer(x, levels):
    """bit_i = x > t_i, as ±1, the bits of a feature side by side. x [..., F], levels F lists -> [..., bits]."""
    x = np.asarray(x, dtype=np.float64)
    bits = [np.where(x[..., f] > level, 1, -1) for f, of_feature in enumerate(levels) for level in of_feature]
    return np.stack(bits, axis=-1).astype(np.int64)


def median_threshold(train, integers=False):
    """The thermometer's threshold for one bit, all features pooled."""
    return float(thermometer_thresholds(np.asarray(train).reshape(-1, 1), 1, integers)[0][0])


def median(x, threshold):
    """bit = x > threshold, as ±1, same shape as x."""
    return np.where(np.asarray(x, dtype=np.float64) > threshold, 1, -1).astype(np.int64)


def expansion(a, matrix):
    """sign(R a), with a ±1 [..., K] and R ±1 [K', K]."""
    return sign(np.asarray(a, dtype=np.int64) @ np.asarray(matrix, dtype=np.int64).T)
