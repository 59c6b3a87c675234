"""`python -m darts_engine.bench.recurrent`: the steps of a search on text, ours and the plain ones.

Both sides have the published width and dropouts of the search. They take turns in one process, on
one thread. The plain side is `supernet/plain_recurrent.py` with the steps as the official code
takes them: every backward pass computes the gradients of weights and alphas, used or not, and
second order builds a second network at every step. Shapes: T time steps, B columns, V words.
"""

import argparse
import copy
import sys
from collections.abc import Callable
from functools import partial

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.bench.timing import Comparison, clock, compare
from darts_engine.layers import official_recurrent
from darts_engine.layers.language_model import NO_DROPOUT, Dropouts
from darts_engine.methods.architects import second_order
from darts_engine.optim import eager
from darts_engine.run.architecture.genotype import RECURRENT
from darts_engine.supernet.plain_recurrent import PlainRecurrent
from darts_engine.supernet.recurrent import RecurrentSupernet

WIDTH, COLUMNS, LENGTH = 300, 64, 35
# About the words of the bundled text, and those of Penn Treebank.
VOCABULARY, VOCABULARY_OF_PENN = 2500, 10_000
DROPOUTS = Dropouts(embedding=0.2, input=0.75, hidden=0.25, output=0.75)
LR, CLIP, WEIGHT_DECAY, RADIUS = 20.0, 0.25, 5e-7, 0.01
ALPHA_LR, ALPHA_WEIGHT_DECAY = 3e-3, 1e-3
STEPS = (
    "recurrent_weight_step",
    "recurrent_alpha_step_first_order",
    "recurrent_alpha_step_second_order",
)

# Words and the words after them, (T, B) each.
Text = tuple[Tensor, Tensor]


class OurSearch:
    """Our supernet with its optimizers. Second order does not clip here, on neither side.

    Args:
        supernet: whose weights and alphas move.
    """

    def __init__(self, supernet: RecurrentSupernet) -> None:
        self.network = supernet
        self.weights = list(supernet.weights())
        self.alphas = list(supernet.alphas.parameters())
        self.sgd = eager.SGD(self.weights, LR, weight_decay=WEIGHT_DECAY)
        self.adam = eager.Adam(self.alphas, ALPHA_LR, weight_decay=ALPHA_WEIGHT_DECAY)

    def loss(self, text: Text, mixing: dict[str, Tensor] | None = None) -> Tensor:
        """Nats per word."""
        hidden = self.network.first_hidden(text[0].shape[1])
        return nats(self.network(text[0], hidden, mixing)[0], text[1])

    def weight_step(self, text: Text) -> None:
        """One step of stochastic gradient descent."""
        with torch.no_grad():
            mixing = self.network.alphas.mixing()
        self.sgd.zero_grad()
        self.loss(text, mixing).backward()
        nn.utils.clip_grad_norm_(self.weights, CLIP)
        self.sgd.step()

    def first_order(self, valid: Text) -> None:
        """An alpha step at the current weights, which are frozen."""
        for weight in self.weights:
            weight.requires_grad_(False)
        gradients = torch.autograd.grad(self.loss(valid), self.alphas)
        for weight in self.weights:
            weight.requires_grad_(True)
        self._move(gradients)

    def second_order(self, train: Text, valid: Text, radius: float = RADIUS) -> None:
        """An alpha step through a virtual weight step, by finite differences."""
        step = second_order.VirtualStep.of(self.sgd)
        ahead = second_order.unroll(
            partial(self.loss, train), partial(self.loss, valid), self.weights, self.alphas, step
        )
        for weight in self.weights:
            weight.requires_grad_(False)
        product = second_order.finite_difference(
            partial(self.loss, train), self.weights, self.alphas, ahead.vector, radius
        )
        for weight in self.weights:
            weight.requires_grad_(True)
        self._move(second_order.combine(ahead.direct, product, step.lr))

    def _move(self, gradients: list[Tensor] | tuple[Tensor, ...]) -> None:
        for alpha, gradient in zip(self.alphas, gradients, strict=True):
            alpha.grad = gradient
        self.adam.step()


class PlainSearch:
    """A plain supernet with the weights and alphas of ours.

    Args:
        supernet: is copied.
    """

    def __init__(self, supernet: RecurrentSupernet) -> None:
        vocabulary, width = supernet.embedding.shape
        nodes = supernet.nodes.shape[1]
        self.network = PlainRecurrent(
            supernet.names, vocabulary, width, nodes, supernet.dropouts
        ).to(supernet.embedding)
        state = official_recurrent.export(supernet)
        self.network.load_state_dict(self.network.state_dict() | state)
        self.alpha = nn.Parameter(supernet.alphas.matrices()[RECURRENT].detach().clone())
        self.sgd = eager.SGD(self.network.parameters(), LR, weight_decay=WEIGHT_DECAY)
        self.adam = eager.Adam([self.alpha], ALPHA_LR, weight_decay=ALPHA_WEIGHT_DECAY)

    def loss(self, network: nn.Module, text: Text) -> Tensor:
        """Nats per word at softmax(alpha)."""
        hidden = self.alpha.new_zeros(text[0].shape[1], self.network.decoder.in_features)
        return nats(network(text[0], hidden, self.alpha.softmax(1))[0], text[1])

    def weight_step(self, text: Text) -> None:
        """One step of stochastic gradient descent."""
        self.sgd.zero_grad()
        self.loss(self.network, text).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.sgd.step()

    def first_order(self, valid: Text) -> None:
        """An alpha step at the current weights."""
        self.adam.zero_grad()
        self.loss(self.network, valid).backward()
        self.adam.step()

    def second_order(self, train: Text, valid: Text, radius: float = RADIUS) -> None:
        """An alpha step through a virtual weight step, by finite differences."""
        weights = list(self.network.parameters())
        grads = torch.autograd.grad(self.loss(self.network, train), weights)
        unrolled = copy.deepcopy(self.network)
        with torch.no_grad():
            for virtual, weight, grad in zip(unrolled.parameters(), weights, grads, strict=True):
                virtual.sub_(LR * (grad + WEIGHT_DECAY * weight))
        self.adam.zero_grad()
        unrolled.zero_grad()
        self.loss(unrolled, valid).backward()
        vector = [w.grad for w in unrolled.parameters() if w.grad is not None]
        epsilon = radius / torch.cat([v.reshape(-1) for v in vector]).norm()
        sides = []
        for sign in (1, -2):
            with torch.no_grad():
                for weight, v in zip(weights, vector, strict=True):
                    weight.add_(sign * epsilon * v)
            loss = self.loss(self.network, train)
            sides.append(torch.autograd.grad(loss, self.alpha)[0])
        with torch.no_grad():
            for weight, v in zip(weights, vector, strict=True):
                weight.add_(epsilon * v)
            assert self.alpha.grad is not None
            self.alpha.grad -= LR * (sides[0] - sides[1]) / (2 * epsilon)
        self.adam.step()


def nats(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of (T, B, V) at the words that came, (T, B)."""
    return functional.nll_loss(log_probabilities.flatten(0, 1), targets.flatten())


def random_text(vocabulary: int, length: int = LENGTH, columns: int = COLUMNS) -> Text:
    """Words (T, B) and the words after them, the same at every call."""
    draws = torch.Generator().manual_seed(vocabulary)
    text = torch.randint(vocabulary, (length + 1, columns), generator=draws)
    return text[:-1], text[1:]


def measure(
    vocabulary: int, rounds: int, report: Callable[[str, Comparison], None]
) -> dict[str, Comparison]:
    """Compare the three steps.

    Args:
        vocabulary: V.
        rounds: timed steps of each side.
        report: is called with each comparison as it is made.
    """
    supernet = RecurrentSupernet(vocabulary, WIDTH, dropouts=DROPOUTS)
    ours, plain = OurSearch(supernet), PlainSearch(supernet)
    text = random_text(vocabulary)
    works = {
        STEPS[0]: (partial(ours.weight_step, text), partial(plain.weight_step, text)),
        STEPS[1]: (partial(ours.first_order, text), partial(plain.first_order, text)),
        STEPS[2]: (partial(ours.second_order, text, text), partial(plain.second_order, text, text)),
    }
    found = {}
    for name, (mine, theirs) in works.items():
        found[name] = compare({"ours": mine, "reference": theirs}, rounds, clock())
        report(name, found[name])
    return found


def float64_difference() -> float:
    """The largest difference between ours and the plain one, of log-probabilities and gradients."""
    supernet = RecurrentSupernet(50, 12, nodes=4, dropouts=NO_DROPOUT).double()
    ours, plain = OurSearch(supernet), PlainSearch(supernet)
    text = random_text(50, 6, 5)
    mine = torch.autograd.grad(ours.loss(text), [*ours.alphas, *ours.weights])
    theirs = torch.autograd.grad(
        plain.loss(plain.network, text), [plain.alpha, *plain.network.parameters()]
    )
    names = [n for n, _ in supernet.named_parameters() if not n.startswith("alphas.")]
    named = official_recurrent.official(dict(zip(names, mine[1:], strict=True)))
    pairs = [(mine[0], theirs[0])]
    official_names = [name for name, _ in plain.network.named_parameters()]
    pairs += [(named[name], g) for name, g in zip(official_names, theirs[1:], strict=True)]
    return max(float((a - b).abs().max()) for a, b in pairs)


def main(arguments: list[str]) -> int:
    """Measure, and print a table row by row, or one JSON object at the end.

    Returns:
        The exit code, 0.
    """
    parser = argparse.ArgumentParser(prog="darts-tui bench --recurrent")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rounds = 3 if options.quick else 5

    def report(name: str, found: Comparison) -> None:
        if not options.json:
            low, high = found.ours_range_s
            print(
                f"{name:36}{found.ratio:6.2f}x  ours {found.ours_s:7.3f} ({low:.3f} to {high:.3f})"
                f"   reference {found.reference_s:7.3f}",
                flush=True,
            )

    def heading(vocabulary: int) -> None:
        if not options.json:
            print(
                f"\n{vocabulary} words, width {WIDTH}, {COLUMNS} columns, length {LENGTH}, one"
                f" thread, float32, torch {torch.__version__}; medians of seconds"
            )

    heading(VOCABULARY)
    results: dict[str, object] = dict(measure(VOCABULARY, rounds, report))
    if not options.quick:
        heading(VOCABULARY_OF_PENN)
        results["more"] = {
            f"{VOCABULARY_OF_PENN} words": measure(VOCABULARY_OF_PENN, rounds, report)
        }
    results["float64_max_difference"] = float64_difference()
    results["machine"] = {
        "torch": str(torch.__version__),
        "threads": 1,
        "vocabulary": VOCABULARY,
        "width": WIDTH,
        "columns": COLUMNS,
        "length": LENGTH,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    if options.json:
        print(msgspec.json.encode(results).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
