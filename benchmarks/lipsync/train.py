"""Train the lip-sync net on sessions that `augment` made, and write `weights.npz`.

    python -m benchmarks.lipsync.train SESSIONS --minutes 60 --out worker/lipsync/weights.npz

On one core; more sessions may be added to the folder while it runs. Prints how well it does on
the sentences of the training voices that no session has.
"""

import argparse
import copy
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.lipsync.nets import LipNet
from worker.lipsync.features import BANDS
from worker.lipsync.shape import VISEMES

LOOK_AHEAD_HOPS: Final = 5
"""What the net says at hop i is about hop i - 5."""
CROP: Final = 500
BATCH: Final = 24
EMA: Final = 0.999
SMOOTHING: Final = 0.05
RARE: Final = -0.35
"""A viseme weighs by its count to this power."""
PRESSED: Final = VISEMES.index("PP")
CLASSES: Final = ((0, 1), (2,), (3, 4, 7, 8, 12), (5, 9, 11), (10,), (6, 13, 14))
"""The mouth classes of the metric, as visemes: closed, lip on teeth, narrow, mid, open, round."""
NEVER: Final = -100


class Sessions:
    """All shards of a folder in memory; features (n, hops, FEATURES) in float16."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[Path] = set()
        self._shards: list[dict[str, np.ndarray]] = []
        self.count = 0

    def refresh(self, newest: int) -> None:
        """Take in the shards that came since; keep the `newest` of them."""
        for path in sorted(self._folder.glob("shard*.npz")):
            if path not in self._known:
                self._known.add(path)
                with np.load(path) as arrays:
                    self._shards.append(dict(arrays))
        self._shards = self._shards[-newest:]
        self.count = sum(len(shard["visemes"]) for shard in self._shards)

    def visemes(self) -> np.ndarray:
        return np.concatenate([shard["visemes"].ravel() for shard in self._shards])

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Features (batch, FEATURES, hops), visemes (batch, hops), and opening and rounding."""
        features, visemes, shapes = [], [], []
        for _ in range(BATCH):
            shard = self._shards[rng.integers(len(self._shards))]
            session = rng.integers(len(shard["visemes"]))
            hops = shard["visemes"].shape[1]
            start = int(rng.integers(0, hops - CROP + 1)) if rng.random() < 0.8 else 0
            end = start + CROP
            features.append(shard["features"][session, start:end])
            about = np.arange(start, end) - LOOK_AHEAD_HOPS
            label = shard["visemes"][session, np.maximum(about, 0)].astype(np.int64)
            label[about < 0] = NEVER
            visemes.append(label)
            shapes.append(shard["shapes"][session, np.maximum(about, 0)])
        stacked = torch.from_numpy(np.stack(features).astype(np.float32)).transpose(1, 2)
        return (
            disturbed(stacked, rng),
            torch.from_numpy(np.stack(visemes)),
            torch.from_numpy(np.stack(shapes).astype(np.float32)).transpose(1, 2),
        )


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


def losses(out: Tensor, visemes: Tensor, shapes: Tensor, weights: Tensor) -> Tensor:
    """Of (batch, OUTPUTS, hops): visemes, classes, opening, rounding, pressed lips; summed."""
    logits = out[:, : len(VISEMES)]
    known = (visemes != NEVER).float()
    viseme = functional.cross_entropy(
        logits, visemes, weight=weights, label_smoothing=SMOOTHING, ignore_index=NEVER
    )
    grouped = torch.stack([logits[:, list(group)].logsumexp(1) for group in CLASSES], 1)
    of_class = torch.zeros(len(VISEMES), dtype=torch.long)
    for index, group in enumerate(CLASSES):
        of_class[list(group)] = index
    targets = torch.where(visemes == NEVER, NEVER, of_class[visemes.clamp(min=0)])
    mouth = functional.cross_entropy(
        grouped - logits.logsumexp(1, keepdim=True), targets, ignore_index=NEVER
    )
    shape = (out[:, -3:-1] - shapes).square() * known[:, None]
    pressed = functional.binary_cross_entropy_with_logits(
        out[:, -1], (visemes == PRESSED).float(), reduction="none", pos_weight=torch.tensor(4.0)
    )
    total: Tensor = (
        viseme
        + 0.7 * mouth
        + 6.0 * shape.sum() / known.sum()
        + 1.2 * (pressed * known).sum() / known.sum()
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
    sessions = Sessions(arguments.sessions)
    sessions.refresh(arguments.newest)
    counts = np.bincount(sessions.visemes(), minlength=len(VISEMES)).astype(np.float64)
    weights = np.maximum(counts, counts.sum() * 1e-3) ** RARE
    weights *= counts.sum() / (counts * weights).sum()
    weight = torch.from_numpy(weights.astype(np.float32))
    net = LipNet(arguments.channels, tuple(arguments.dilations), arguments.dropout)
    if arguments.resume:
        net.load_state_dict(torch.load(arguments.resume))
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=arguments.rate, weight_decay=0.02)
    began, step, last_report, total = time.monotonic(), 0, 0.0, 0.0
    while (spent := (time.monotonic() - began) / 60 / arguments.minutes) < 1.0:
        warm = min(1.0, (step + 1) / 200)
        rate = arguments.rate * warm * (0.5 + 0.5 * np.cos(np.pi * spent)) + 1e-6
        for group in optimizer.param_groups:
            group["lr"] = rate
        features, visemes, shapes = sessions.batch(rng)
        net.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = net(features)
        loss = losses(out.float(), visemes, shapes, weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        follow(average, net, min(EMA, (step + 1) / (step + 10)))
        total += 0.02 * (float(loss.detach()) - total)
        step += 1
        if step % 100 == 0:
            sessions.refresh(arguments.newest)
        minutes = (time.monotonic() - began) / 60
        if minutes - last_report > arguments.every or step == 300:
            last_report = minutes
            print(
                f"{minutes:5.1f} min, step {step}, {sessions.count} sessions, loss {total:.3f}: "
                + dev_report(average, arguments.sessions),
                flush=True,
            )
            save(average, arguments.out)
    average.eval()
    print("at the end: " + dev_report(average, arguments.sessions), flush=True)
    save(average, arguments.out)


def save(net: LipNet, path: Path) -> None:
    np.savez(path, allow_pickle=False, **net.arrays())
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
    parser.add_argument("--newest", type=int, default=400, help="shards kept in memory")
    parser.add_argument("--resume", type=Path, help="a .pt to go on from")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
