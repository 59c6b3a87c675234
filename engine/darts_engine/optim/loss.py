"""Cross entropy, with label smoothing or without.

Szegedy et al., 2016, arXiv 1512.00567, section 7. Two definitions of label smoothing are in use.
They differ in how much of the target the true class keeps. A training that is compared with
published numbers must use their definition. Shapes: B batch, K classes.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional


def uniform_share(smoothing: float, kind: str, classes: int) -> float:
    """The part of the target that is spread over all classes, the true one included.

    Args:
        smoothing: eps, from 0 to 0.5.
        kind: "uniform" spreads eps over all K classes: the true one keeps 1 - eps + eps / K (the
            paper, the DARTS code for ImageNet, torch). "others" spreads eps over the K - 1 others:
            the true one keeps 1 - eps (the training code published with SAM for PyTorch).
        classes: K.

    Returns:
        eps for "uniform", eps * K / (K - 1) for "others".
    """
    if kind == "others" and classes > 1:
        return smoothing * classes / (classes - 1)
    return smoothing


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float, kind: str) -> Tensor:
    """Mean cross entropy over images with label smoothing, a scalar in float32 or better.

    Args:
        logits: (B, K).
        labels: (B,), from 0.
        smoothing: eps, from 0 to 0.5; 0 is the plain cross entropy.
        kind: as in `uniform_share`.
    """
    at_least_float32 = torch.promote_types(logits.dtype, torch.float32)
    share = uniform_share(smoothing, kind, logits.shape[1])
    return functional.cross_entropy(logits.to(at_least_float32), labels, label_smoothing=share)


def target_entropy(smoothing: float, kind: str, classes: int) -> float:
    """The entropy of a smoothed target in nats: the least that its cross entropy can be.

    With eps 0.1 over the other 99 of 100 classes it is 0.7846.

    Args:
        smoothing: eps, from 0 to 0.5.
        kind: as in `uniform_share`.
        classes: K.
    """
    other = uniform_share(smoothing, kind, classes) / classes
    true = 1 - (classes - 1) * other
    parts = [(1, true), (classes - 1, other)]
    return -sum(count * part * math.log(part) for count, part in parts if count and part)


def smoothed_divergence(logits: Tensor, labels: Tensor, smoothing: float, kind: str) -> Tensor:
    """Mean Kullback-Leibler divergence KL(target || softmax(logits)) over images, a scalar.

    It is the smoothed cross entropy minus the target's entropy, so that 0 is a perfect fit. The
    training code published with SAM for PyTorch minimises and reports this quantity.

    Args:
        logits: (B, K).
        labels: (B,), from 0.
        smoothing: eps of the target, from 0 to 0.5; without it, this is the plain cross entropy.
        kind: as in `uniform_share`.
    """
    entropy = target_entropy(smoothing, kind, logits.shape[1])
    return smoothed_cross_entropy(logits, labels, smoothing, kind) - entropy


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy over images, a scalar in float32 or better.

    Args:
        logits: (B, K), of any precision.
        labels: (B,), from 0.
    """
    at_least_float32 = torch.promote_types(logits.dtype, torch.float32)
    return functional.cross_entropy(logits.to(at_least_float32), labels)
