"""What of a transformer runs before a block, found by letting it read one token.

Names and the order of registration say nothing certain: OPT lists what follows its blocks before
them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def parameters_before(model: Any, blocks: nn.ModuleList, n_blocks: int) -> set[int]:
    """Ids of the parameters that have been used when the block number `n_blocks` begins.

    Args:
        model: A transformer; left as it was.
        blocks: Its blocks.
        n_blocks: Counted from 0; as many as there are for when the last one has ended.
    """
    used: set[int] = set()
    is_over = False

    def begins(module: nn.Module, inputs: Any) -> None:
        nonlocal is_over
        is_over = is_over or (n_blocks < len(blocks) and module is blocks[n_blocks])
        if not is_over:
            used.update(id(parameter) for parameter in module.parameters(recurse=False))

    def ends(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal is_over
        is_over = is_over or (n_blocks == len(blocks) and module is blocks[-1])

    hooks = [module.register_forward_pre_hook(begins) for module in model.modules()]
    hooks.append(blocks[-1].register_forward_hook(ends))
    was_training = model.training
    try:
        with torch.no_grad():
            ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
            model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    # a weight that no module of its own call has used, as a table read by a function: by its block
    for block in blocks[:n_blocks]:
        used.update(id(parameter) for parameter in block.parameters())
    return used
