"""Cross entropy with smoothed labels: some of each image's target is given to other classes.

Szegedy et al., 2016, arXiv 1512.00567, section 7. Two definitions are in use, and differ in how
much the true class keeps: a training that is compared with published numbers must use theirs.
"""

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

    Spreading eps over the others is the same as spreading eps * K / (K - 1) over all.
    """
    if kind == "others" and classes > 1:
        return smoothing * classes / (classes - 1)
    return smoothing


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float, kind: str) -> Tensor:
    """Mean over images, in float32 or better, whatever precision the logits have.

    Args:
        logits: (B, K).
        labels: (B,), from 0.
        smoothing: eps; 0 is the plain cross entropy.
        kind: as in `uniform_share`.
    """
    at_least_float32 = torch.promote_types(logits.dtype, torch.float32)
    share = uniform_share(smoothing, kind, logits.shape[1])
    return functional.cross_entropy(logits.to(at_least_float32), labels, label_smoothing=share)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy in float32 or better, whatever precision the logits have."""
    at_least_float32 = torch.promote_types(logits.dtype, torch.float32)
    return functional.cross_entropy(logits.to(at_least_float32), labels)
