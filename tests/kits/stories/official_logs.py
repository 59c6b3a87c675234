"""Made-up logs as official codes print them, for tests that read them."""

import random

from darts_engine.run.architecture import derivation
from darts_engine.run.architecture.derivation import DARTS_OPERATIONS
from darts_engine.run.architecture.genotype import CELLS, Genotype

Rows = list[list[float]]


def weights_of(seed: int) -> dict[str, Rows]:
    """Mixing weights of a normal and a reduction cell, as four printed digits have them."""
    draws = random.Random(seed)
    out = {}
    for cell in CELLS:
        rows = [[draws.gauss(0, 1) for _ in DARTS_OPERATIONS] for _ in range(14)]
        out[cell] = [[round(w, 4) for w in row] for row in derivation.softmax(rows)]
    return out


def genotype_of(seed: int) -> Genotype:
    """The genotype of these weights."""
    return derivation.derive(weights_of(seed), DARTS_OPERATIONS)


def tensor(rows: Rows) -> str:
    """Rows as torch prints them."""
    lines = ["[" + ", ".join(f"{n:.4f}" for n in row) + "]" for row in rows]
    return "tensor([" + ",\n        ".join(lines) + "],\n       device='cuda:0', grad_fn=<Softmax>)"


def darts(epochs: int = 3, planned: int = 3, seed: int = 0) -> str:
    """A search of the official code of DARTS, its printed alphas included."""
    lines = [
        "05/08 05:56:53 AM gpu device = 0",
        (
            f"05/08 05:56:53 AM args = Namespace(batch_size=64, epochs={planned}, "
            "init_channels=16, layers=8, learning_rate=0.025, seed=2, unrolled=True)"
        ),
        "05/08 05:56:55 AM param size = 1.930618MB",
    ]
    for epoch in range(epochs):
        hour = 6 + epoch
        lines += [
            f"05/08 {hour:02}:00:00 AM epoch {epoch} lr {0.025 - 0.001 * epoch:e}",
            f"05/08 {hour:02}:00:00 AM genotype = {genotype_of(seed + epoch).text()}",
            *(tensor(weights_of(seed + epoch)[cell]) for cell in CELLS),
        ]
        for step in (0, 50, 100):
            loss = 2.3 - 0.3 * epoch - 0.001 * step
            lines.append(
                f"05/08 {hour:02}:{step // 5:02}:00 AM train {step:03} {loss:e} "
                f"{20.0 + 10 * epoch + step / 50:f} {70.0:f}"
            )
        lines += [
            f"05/08 {hour:02}:30:00 AM train_acc {23.0 + 10 * epoch:f}",
            f"05/08 {hour:02}:31:00 AM valid 000 {1.9 - 0.2 * epoch:e} 31.250000 81.250000",
            f"05/08 {hour:02}:32:00 AM valid 050 {1.8 - 0.2 * epoch:e} 33.250000 82.250000",
            f"05/08 {hour:02}:33:00 AM valid_acc {33.5 + 5 * epoch:f}",
        ]
    return "\n".join(lines) + "\n"


def pc_darts(epochs: int = 3) -> str:
    """A search of PC-DARTS, which validates in its last epoch only and prints no alphas."""
    lines = [
        "2019-07-10 22:11:05,123 args = Namespace(batch_size=256, epochs=3, set='cifar10')",
    ]
    for epoch in range(epochs):
        lines += [
            f"2019-07-10 22:1{2 + epoch}:00,000 epoch {epoch} lr 1.000000e-01",
            f"2019-07-10 22:1{2 + epoch}:00,000 genotype = {genotype_of(epoch).text()}",
            f"2019-07-10 22:1{2 + epoch}:10,000 train 000 2.342719e+00 12.109375 53.515625",
            f"2019-07-10 22:1{2 + epoch}:40,000 train_acc 28.084000",
        ]
    lines += [
        "2019-07-10 22:15:00,000 valid 000 1.342719e+00 52.109375 93.515625",
        "2019-07-10 22:15:30,000 valid_acc 51.480000",
    ]
    return "\n".join(lines) + "\n"


def pt_darts(epochs: int = 3) -> str:
    """A search of pt.darts: a tensor for each node, epochs counted from 1, nested genotypes."""
    lines = [
        "05/06 10:15:20 PM | Parameters:",
        "05/06 10:15:20 PM | BATCH_SIZE=64",
        "05/06 10:15:20 PM | DATASET=CIFAR10",
        "05/06 10:15:20 PM | EPOCHS=3",
    ]
    for epoch in range(1, epochs + 1):
        weights, stamp = weights_of(epoch), f"05/06 10:{15 + 5 * epoch}:00 PM | "
        lines.append("####### ALPHA #######")
        for cell in CELLS:
            lines.append(f"{chr(10) if cell == 'reduce' else ''}# Alpha - {cell}")
            for start, count in ((0, 2), (2, 3), (5, 4), (9, 5)):
                lines.append(tensor(weights[cell][start : start + count]))
        lines.append("#####################")
        lines += [
            f"{stamp}Train: [ {epoch}/3] Step {step:03}/390 Loss {2.3 - 0.01 * epoch:.3f} "
            "Prec@(1,5) (10.9%, 57.8%)"
            for step in (0, 50, 100)
        ]
        flat = genotype_of(epoch)
        nodes = {c: [flat.cell(c)[0][k : k + 2] for k in range(0, 8, 2)] for c in CELLS}
        text = ", ".join(
            f"{c}={[list(node) for node in nodes[c]]}, {c}_concat=range(2, 6)" for c in CELLS
        )
        lines += [
            f"{stamp}Train: [ {epoch}/3] Final Prec@1 {45.0 + epoch:.4f}%",
            f"{stamp}Valid: [ {epoch}/3] Step 000/390 Loss 1.500 Prec@(1,5) (45.3%, 89.1%)",
            f"{stamp}Valid: [ {epoch}/3] Final Prec@1 {50.0 + epoch % 3:.4f}%",
            f"{stamp}genotype = Genotype({text})",
            "",
        ]
    lines += [f"{stamp}Final best Prec@1 = 52.0000%", f"{stamp}Best Genotype = Genotype({text})"]
    return "\n".join(lines) + "\n"


def training(epochs: int = 2) -> str:
    """A training of the official code: no genotype line but the name of the architecture."""
    lines = [
        "05/08 05:56:53 AM args = Namespace(arch='DARTS_V2', batch_size=96, epochs=2, layers=20)"
    ]
    for epoch in range(epochs):
        lines += [
            f"05/08 0{6 + epoch}:00:00 AM epoch {epoch} lr 2.5e-02",
            f"05/08 0{6 + epoch}:01:00 AM train 000 3.226500e+00 9.375000 54.166667",
            f"05/08 0{6 + epoch}:40:00 AM train_acc {50 + epoch}.500000",
            f"05/08 0{6 + epoch}:45:00 AM valid_acc {60 + epoch}.250000",
        ]
    return "\n".join(lines) + "\n"
