"""torch's SGD and Adam, without an import of torch's compiler.

The first optimizer of a process makes torch import its compiler (`torch._dynamo`, and sympy with
it), only to tell it to leave the optimizer's methods alone. That takes about as long as the import
of torch itself. The classes here have the same methods without that word to the compiler, so they
compute the same bits. Nothing compiles an optimizer here: `compute.compiling` compiles forward
passes.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch

Method = TypeVar("Method", bound=Callable[..., Any])


def _plain(method: Method) -> Method:
    """The method that torch has decorated; one that is not decorated, as it is."""
    plain: Method = inspect.unwrap(method)
    return plain


class SGD(torch.optim.SGD):
    """`torch.optim.SGD`; arguments, state and steps are the same."""

    add_param_group = _plain(torch.optim.SGD.add_param_group)
    zero_grad = _plain(torch.optim.SGD.zero_grad)
    state_dict = _plain(torch.optim.SGD.state_dict)
    load_state_dict = _plain(torch.optim.SGD.load_state_dict)
    step = torch.no_grad()(_plain(torch.optim.SGD.step))


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`; arguments, state and steps are the same."""

    add_param_group = _plain(torch.optim.Adam.add_param_group)
    zero_grad = _plain(torch.optim.Adam.zero_grad)
    state_dict = _plain(torch.optim.Adam.state_dict)
    load_state_dict = _plain(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(_plain(torch.optim.Adam.step))
