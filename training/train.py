"""Train the lip-sync net on sessions that `augment` made, and write `weights.npz`.

    python -m training.train SESSIONS --minutes 90 --out worker/lipsync/weights.npz

A share of the sessions in each batch is heard with other sounds than `augment` put there. With
--teacher, a net that has learnt already tells what it reads of each session's voice alone, and
the pupil is to say the same under other sounds. Prints how well it does on the sentences of the
training voices that no session has.
"""

import argparse
import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from training.mixing import OTHERS, Mixer, Others, levels
from training.nets import LipNet
from worker.lipsync.features import BANDS
from worker.lipsync.shape import VISEMES

LOOK_AHEAD_HOPS: Final = 5
"""What the net says at hop i is about hop i - 5."""
BATCH: Final = 12
"""Sessions, whole ones."""
EMA: Final = 0.999
SMOOTHING: Final = 0.05
RARE: Final = -0.35
"""A viseme weighs by its count to this power."""
PRESSED: Final = VISEMES.index("PP")
CLASSES: Final = ((0, 1), (2,), (3, 4, 7, 8, 12), (5, 9, 11), (10,), (6, 13, 14))
"""The mouth classes of the metric, as visemes: closed, lip on teeth, narrow, mid, open, round."""
NEVER: Final = -100


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Features (batch, FEATURES, hops) and what is to be said of them at each hop.

    `visemes` (batch, hops) and `shapes`, opening and rounding (batch, 2, hops), are the truth;
    `told` (batch, visemes, hops) is what the teacher believes, if there is one.
    """

    features: Tensor
    visemes: Tensor
    shapes: Tensor
    told: Tensor | None


class Sessions:
    """All shards of a folder in memory."""

    def __init__(self, folder: Path, *, mixed: float, alone: float, teacher: LipNet | None) -> None:
        self._features: list[npt.NDArray[np.float16]] = []
        self._told: list[npt.NDArray[np.float16]] = []
        speech, visemes, shapes = [], [], []
        for path in sorted(folder.glob("shard*.npz")):
            with np.load(path) as arrays:
                clean = arrays["clean"]
                self._features.extend(arrays["features"])
                visemes.append(arrays["visemes"])
                shapes.append(arrays["shapes"])
            speech.append(levels(clean))
            if teacher is not None:
                self._told.extend(told(teacher, clean))
        self.visemes = np.concatenate(visemes)
        self._shapes = np.concatenate(shapes)
        others = Others.read(folder / OTHERS)
        self._mixer = Mixer(np.concatenate(speech), self.visemes, others, alone)
        self._mixed = round(BATCH * mixed)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Some sessions as they are, some mixed anew."""
        chosen = rng.integers(len(self.visemes), size=BATCH)
        as_they_are, mixed = np.split(chosen, [BATCH - self._mixed])
        features = np.concatenate(
            [
                *(self._features[session][None].astype(np.float32) for session in as_they_are),
                self._mixer.features(mixed, rng),
            ]
        )
        visemes = late(self.visemes[chosen]).astype(np.int64)
        visemes[:, :LOOK_AHEAD_HOPS] = NEVER
        believed = np.stack([self._told[session] for session in chosen]) if self._told else None
        return Batch(
            disturbed(channels(features), rng),
            torch.from_numpy(visemes),
            channels(late(self._shapes[chosen])),
            None if believed is None else channels(believed),
        )


def late(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """At each hop (axis 1) what is true LOOK_AHEAD_HOPS before; the first is repeated."""
    first = np.repeat(values[:, :1], LOOK_AHEAD_HOPS, axis=1)
    return np.concatenate([first, values[:, :-LOOK_AHEAD_HOPS]], axis=1)


def channels(values: npt.NDArray[np.generic]) -> Tensor:
    """(batch, hops, channels) as torch's convolutions take it."""
    return torch.from_numpy(values.astype(np.float32)).transpose(1, 2)


@torch.no_grad()
def told(teacher: LipNet, clean: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
    """What the teacher believes of each viseme, (n, hops, visemes)."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = teacher(channels(clean)).float()
    believed: npt.NDArray[np.float16] = out[:, : len(VISEMES)].softmax(1).half().numpy()
    return believed.transpose(0, 2, 1)


def known(path: Path) -> LipNet:
    """The net whose state is in that .pt; its dilations are in the .npz beside it."""
    state = torch.load(path)
    with np.load(path.with_suffix(".npz")) as arrays:
        dilations = tuple(arrays["dilations"][1:-1].tolist())
    net = LipNet(state["head.weight"].shape[1], dilations, 0.0)
    net.load_state_dict(state)
    net.eval()
    return net


def disturbed(features: Tensor, rng: np.random.Generator) -> Tensor:
    """With bands or hops missing, another channel and a little noise."""
    features = features.contiguous()
    batch, _, hops = features.shape
    knots = torch.from_numpy(rng.normal(0.0, 0.2, (batch, 1, 6)).astype(np.float32))
    channel = functional.interpolate(knots, BANDS, mode="linear", align_corners=True)
    features[:, :BANDS] += channel.transpose(1, 2)
    features += 0.05 * torch.from_numpy(rng.standard_normal(features.shape, dtype=np.float32))
    for row in range(batch):
        for _ in range(int(rng.integers(0, 3))):
            width = int(rng.integers(1, 7))
            band = int(rng.integers(0, BANDS - width))
            features[row, band : band + width] = 0.0
        for _ in range(int(rng.integers(0, 4))):
            length = int(rng.integers(1, 6))
            hop = int(rng.integers(0, hops - length))
            features[row, :, hop : hop + length] = 0.0
    return features


def losses(out: Tensor, batch: Batch, weights: Tensor, trust: float) -> Tensor:
    """Of (batch, OUTPUTS, hops): visemes, classes, opening, rounding, pressed lips; summed.

    `trust` is how much of what the visemes are the teacher says, if there is one.
    """
    visemes, shapes = batch.visemes, batch.shapes
    logits = out[:, : len(VISEMES)]
    counts = (visemes != NEVER).float()
    viseme = functional.cross_entropy(
        logits, visemes, weight=weights, label_smoothing=SMOOTHING, ignore_index=NEVER
    )
    if batch.told is not None:
        weigh = weights[visemes.clamp(min=0)] * counts
        unlike = -(batch.told * logits.log_softmax(1)).sum(1)
        viseme = (1.0 - trust) * viseme + trust * (unlike * weigh).sum() / weigh.sum()
    grouped = torch.stack([logits[:, list(group)].logsumexp(1) for group in CLASSES], 1)
    of_class = torch.zeros(len(VISEMES), dtype=torch.long)
    for index, group in enumerate(CLASSES):
        of_class[list(group)] = index
    targets = torch.where(visemes == NEVER, NEVER, of_class[visemes.clamp(min=0)])
    mouth = functional.cross_entropy(
        grouped - logits.logsumexp(1, keepdim=True), targets, ignore_index=NEVER
    )
    shape = (out[:, -3:-1] - shapes).square() * counts[:, None]
    pressed = functional.binary_cross_entropy_with_logits(
        out[:, -1], (visemes == PRESSED).float(), reduction="none", pos_weight=torch.tensor(4.0)
    )
    total: Tensor = (
        viseme
        + 0.7 * mouth
        + 6.0 * shape.sum() / counts.sum()
        + 1.2 * (pressed * counts).sum() / counts.sum()
    )
    return total


@torch.no_grad()
def follow(average: LipNet, net: LipNet, share: float) -> None:
    """Move the averaged net, its running statistics too, towards the one that learns."""
    for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if value.dtype.is_floating_point:
            mean.lerp_(value, 1.0 - share)
        else:
            mean.copy_(value)


def mean(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Of nets that learnt apart after they had learnt together: steadier than any of them."""
    return {
        name: torch.stack([state[name] for state in states]).mean(0)
        if first.dtype.is_floating_point
        else first
        for name, first in states[0].items()
    }


def widened(state: dict[str, Tensor], net: LipNet) -> dict[str, Tensor]:
    """The state of a net with as many channels, or fewer, for `net`: it says the same at first.

    New channels are as they are in `net`, but the old ones and the heads do not hear them yet.
    """
    wide = net.state_dict()
    for name, value in state.items():
        if value.dim() == 3:
            wide[name][: len(value)] = 0.0
        wide[name][tuple(slice(size) for size in value.shape)] = value
    return wide


@torch.no_grad()
def dev_report(net: LipNet, folder: Path) -> str:
    """Frame accuracy, mean recall of the visemes and correlations on the unseen sentences."""
    with np.load(folder / "dev.npz") as arrays:
        features = torch.from_numpy(arrays["features"].astype(np.float32)).transpose(1, 2)
        visemes, shapes = arrays["visemes"], arrays["shapes"].astype(np.float32)
        group = arrays["group"]
    net.eval()
    out = np.concatenate([net(features[i : i + 32]).numpy() for i in range(0, len(features), 32)])
    out = out[:, :, LOOK_AHEAD_HOPS:].transpose(0, 2, 1)
    visemes, shapes = visemes[:, :-LOOK_AHEAD_HOPS], shapes[:, :-LOOK_AHEAD_HOPS]
    said = out[..., : len(VISEMES)].argmax(-1)
    parts = []
    of_class = np.zeros(len(VISEMES), int)
    for index, members in enumerate(CLASSES):
        of_class[list(members)] = index
    for name in sorted(set(group.tolist())):
        rows = group == name
        true, guess = visemes[rows].ravel(), said[rows].ravel()
        mouth = macro_f1(of_class[true], of_class[guess], len(CLASSES))
        r = [
            np.corrcoef(out[rows][..., -3 + k].ravel(), shapes[rows][..., k].ravel())[0, 1]
            for k in (0, 1)
        ]
        flips = (np.diff(of_class[said[rows]], axis=1) != 0).mean() * 100
        parts.append(
            f"{name} {mouth:.3f}/{macro_f1(true, guess, len(VISEMES)):.3f}"
            f"/{r[0]:.2f}/{r[1]:.2f}/{flips:.0f}"
        )
    return "  ".join(parts)


def macro_f1(true: np.ndarray, guess: np.ndarray, classes: int) -> float:
    table = np.bincount(true * classes + guess, minlength=classes**2).reshape(classes, classes)
    both = table.sum(0) + table.sum(1)
    return float((2 * np.diag(table) / np.maximum(both, 1))[table.sum(1) > 0].mean())


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(arguments.seed)
    sessions = Sessions(
        arguments.sessions,
        mixed=arguments.mixed,
        alone=arguments.alone,
        teacher=known(arguments.teacher) if arguments.teacher else None,
    )
    counts = np.bincount(sessions.visemes.ravel(), minlength=len(VISEMES)).astype(np.float64)
    weights = np.maximum(counts, counts.sum() * 1e-3) ** RARE
    weights *= counts.sum() / (counts * weights).sum()
    weight = torch.from_numpy(weights.astype(np.float32))
    net = LipNet(arguments.channels, tuple(arguments.dilations), arguments.dropout)
    if arguments.resume:
        net.load_state_dict(widened(mean([torch.load(path) for path in arguments.resume]), net))
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=arguments.rate, weight_decay=0.02)
    began, step, last_report, total = time.monotonic(), 0, 0.0, 0.0
    seconds = 60.0 * arguments.minutes
    while (spent := (time.monotonic() - began) / max(seconds, 1e-9)) < 1.0:
        warm = min(1.0, (step + 1) / 200)
        rate = arguments.rate * warm * (0.5 + 0.5 * np.cos(np.pi * spent)) + 1e-6
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = sessions.batch(rng)
        net.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = net(batch.features)
        loss = losses(out.float(), batch, weight, arguments.trust)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        follow(average, net, min(EMA, (step + 1) / (step + 10)))
        total += 0.02 * (float(loss.detach()) - total)
        step += 1
        minutes = (time.monotonic() - began) / 60
        if minutes - last_report > arguments.every or step == 300:
            last_report = minutes
            print(
                f"{minutes:5.1f} min, step {step}, loss {total:.3f}: "
                + dev_report(average, arguments.sessions),
                flush=True,
            )
            save(average, arguments.out, eight_bits=arguments.eight_bits)
    average.eval()
    print("at the end: " + dev_report(average, arguments.sessions), flush=True)
    save(average, arguments.out, eight_bits=arguments.eight_bits)


def save(net: LipNet, path: Path, *, eight_bits: bool) -> None:
    np.savez(path, allow_pickle=False, **net.arrays(eight_bits=eight_bits))
    torch.save(net.state_dict(), path.with_suffix(".pt"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sessions", type=Path, help="folder that augment filled")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=2.0, help="minutes between reports")
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--dilations", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 1, 2])
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--mixed", type=float, default=0.6, help="share that is mixed anew")
    parser.add_argument("--alone", type=float, default=0.35, help="of these, without other sounds")
    parser.add_argument(
        "--resume",
        type=Path,
        nargs="*",
        default=[],
        help="a .pt to go on from, of a net as wide or less; the mean of several",
    )
    parser.add_argument("--teacher", type=Path, help="a .pt beside its .npz")
    parser.add_argument("--eight-bits", action="store_true", help="how weights are written")
    parser.add_argument("--trust", type=float, default=0.4, help="in the teacher, 0 to 1")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
