"""Training loop with micro-batches, for less memory."""

from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import DataLoader

from mmcm.registry import LOOPS
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_compat import multiply_accumulative_counts, set_iteration


@LOOPS.register_module()
class MicroBatchTrainLoop(IterBasedTrainLoop):
    """Iterations that split their batch into micro-batches and accumulate the gradients.

    MMEngine's `accumulative_counts` makes an iteration of each part, so that everything that counts iterations (length
    of the run, learning rate schedule, intervals, names of checkpoints) has to be scaled with it. Here an iteration
    still has the same images and one step of the optimiser. `micro_batch` is no part of the recipe, and may change when
    a run is resumed. Only the noise differs, since it is sampled for each part in turn.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): Loader of whole batches, or its config.
        micro_batch (int): Images of a process that go through the network at once; it has to divide the batch size.
        **kwargs: See `IterBasedTrainLoop`.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, micro_batch: int, **kwargs) -> None:
        super().__init__(runner, dataloader, **kwargs)
        batch_size = self.dataloader.batch_size
        if batch_size is None:
            raise InputError('micro-batches need train_dataloader.batch_size; a batch sampler has none.')
        if not isinstance(micro_batch, int) or micro_batch < 1 or batch_size % micro_batch:
            divisors = [size for size in range(1, batch_size + 1) if batch_size % size == 0]
            raise InputError(
                f'a batch of {batch_size} images cannot be split into micro-batches of {micro_batch}: '
                f'choose one of {", ".join(map(str, divisors))}.'
            )
        sampler = self.dataloader.sampler
        if not isinstance(sampler, InfiniteSampler) and not self.dataloader.drop_last and len(sampler) % batch_size:
            raise InputError(
                f'the last of the batches would have {len(sampler) % batch_size} images instead of '
                f'{batch_size}: micro-batches need train_dataloader.drop_last=True or an InfiniteSampler.'
            )
        self.micro_batch = micro_batch
        self.num_parts = batch_size // micro_batch

    def run(self) -> torch.nn.Module:
        """Train; return the model."""
        wrapper = self.runner.optim_wrapper
        # MMEngine initialised them before, one iteration being one backward pass.
        multiply_accumulative_counts(wrapper, self.num_parts)
        wrapper.initialize_count_status(self.runner.model, self.iter * self.num_parts, self.max_iters * self.num_parts)
        return super().run()

    def run_iter(self, data_batch: Any) -> None:
        """Train on one batch, part by part; the log gets the means of the parts."""
        self.runner.call_hook('before_train_iter', batch_idx=self.iter, data_batch=data_batch)
        starts = range(0, self.num_parts * self.micro_batch, self.micro_batch)
        logs = [
            self.runner.model.train_step(
                rows_of(data_batch, slice(start, start + self.micro_batch)), optim_wrapper=self.runner.optim_wrapper
            )
            for start in starts
        ]
        outputs = {name: torch.stack([log[name].detach().float() for log in logs]).mean(0) for name in logs[0]}
        self.runner.call_hook('after_train_iter', batch_idx=self.iter, data_batch=data_batch, outputs=outputs)
        set_iteration(self, self.iter + 1)


def rows_of(batch: Any, rows: slice) -> Any:
    """Return `rows` of everything in `batch` that has one row per image."""
    if isinstance(batch, dict):
        return {key: rows_of(value, rows) for key, value in batch.items()}
    if isinstance(batch, BaseDataElement):
        return batch.new(**{key: rows_of(value, rows) for key, value in batch.items()})
    return batch[rows] if isinstance(batch, (Tensor, list)) else batch
