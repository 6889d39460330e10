"""Parameters, FLOPs, NFE and memory of a model, computed without weights: all tensors are on torch's meta device."""

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from mmcm.apis.resolve_model import config_and_checkpoint, pick_device, pick_dtype, sampler_config
from mmcm.models.consistency_model import ConsistencyModel, inference_config
from mmcm.registry import MODELS, SAMPLERS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.files import in_bytes
from mmcm.utils.meta_device import without_weights
from mmcm.utils.precision import auto_dtype


class PeakBytes(TorchDispatchMode):
    """Count the bytes of all tensors that live at once, each storage once; `peak` is the maximum.

    Args:
        network (nn.Module): Its parameters and buffers do not count.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.seen = {id(tensor.untyped_storage()) for tensor in (*network.parameters(), *network.buffers())}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count what it returns."""
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self.count(value.untyped_storage())
        return result

    def count(self, storage: torch.UntypedStorage) -> None:
        """Count a storage until it is freed."""
        key, size = id(storage), storage.nbytes()
        if key in self.seen:
            return
        self.seen.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self.free, key, size)

    def free(self, key: int, size: int) -> None:
        """Subtract a storage that no tensor uses any more."""
        self.seen.discard(key)
        self.live -= size


def model_facts(
    model: str, batch_size: int = 1, dtype: str = 'float32', cache_dir: str | None = None, sampler: dict | None = None
) -> dict[str, Any]:
    """Return what a model costs. No weights are read, except where they alone have its config.

    Args:
        model (str): What `ConsistencyModelInferencer` takes, and configs without weights.
        batch_size (int): Images of the batch whose memory is computed.
        dtype (str): Precision of the network; see `pick_dtype`.
        cache_dir (str, optional): Where downloads are kept.
        sampler (dict, optional): Changes to the sampler of the config.

    Returns:
        dict: `model`, `config` (its path, None without one), `checkpoint`, `network`, `image_shape` and
        `latent_shape` (C, H, W), the same but for models of latents, whose decoder is not counted, `num_classes`,
        `parameters`, `flops` of one network evaluation for one image (a multiplication and an addition are 2),
        `sampler`, `nfe` and `flops_per_image` of the sampler, `batch_size`, `dtype`, `weight_bytes`, and
        `activation_bytes`, the tensors of one network evaluation of the batch that live at once. Libraries need
        further memory, such as the workspaces of convolutions.

    Raises:
        InputError: If there is no such model.
    """
    check_count('batch_size', batch_size)
    chosen_dtype = pick_dtype(dtype)
    config, checkpoint = config_and_checkpoint(model, cache_dir)
    if config.get('model', {}).get('type') not in ('ConsistencyModel', 'mmcm.ConsistencyModel'):
        raise InputError(f'{model} is not the config of a ConsistencyModel.')
    source = str(checkpoint or config.get('checkpoint') or '') or None
    chosen = SAMPLERS.build(sampler_config(config.model.get('sampler'), source or '', sampler))
    with without_weights():
        built: ConsistencyModel = MODELS.build(inference_config(config.model)).eval()
    network = built.inference_denoiser.backbone
    parameters = sum(parameter.numel() for parameter in network.parameters())
    kind = auto_dtype(pick_device(None), parameters) if chosen_dtype is None else chosen_dtype
    network.to(kind)
    flops = cost_of_evaluation(built, 1)[0]
    nfe = built.nfe(chosen, built.checked_guidance(None, None))
    return dict(
        model=str(model),
        config=None if config.filename is None else str(config.filename),
        checkpoint=source,
        network=type(network).__name__,
        image_shape=tuple(built.image_shape),
        latent_shape=tuple(built.latent_shape),
        num_classes=built.num_classes,
        parameters=parameters,
        flops=flops,
        sampler=type(chosen).__name__,
        nfe=nfe,
        flops_per_image=flops * nfe,
        batch_size=batch_size,
        dtype=str(kind).removeprefix('torch.'),
        weight_bytes=weight_bytes(network),
        activation_bytes=cost_of_evaluation(built, batch_size)[1],
    )


def cost_of_evaluation(model: ConsistencyModel, num_images: int) -> tuple[int, int]:
    """Return the FLOPs and the peak bytes of tensors of D(x, sigma) for a batch, by `model` on the meta device."""
    x = torch.empty(num_images, *model.latent_shape, dtype=torch.float32, device='meta')
    sigma = torch.empty(num_images, dtype=torch.float32, device='meta')
    labels = None if model.num_classes is None else torch.empty(num_images, dtype=torch.int64, device='meta')
    memory, counter = PeakBytes(model.inference_denoiser), FlopCounterMode(display=False)
    memory.count(x.untyped_storage())
    with torch.no_grad(), counter, memory:
        model.inference_denoiser(x, sigma, labels)
    return counter.get_total_flops(), memory.peak


def weight_bytes(network: nn.Module) -> int:
    """Return the bytes of parameters and buffers."""
    tensors = (*network.parameters(), *network.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def described(facts: Mapping[str, Any]) -> str:
    """Return the facts of `model_facts` as lines of text."""
    channels, height, width = facts['image_shape']
    classes = f'{facts["num_classes"]} classes' if facts['num_classes'] else 'no classes'
    latents = ''
    if facts['latent_shape'] != facts['image_shape']:
        depth, high, wide = facts['latent_shape']
        latents = f' from latents of {wide} x {high} in {depth} (whose decoder is not counted)'
    batch = f'batch of {facts["batch_size"]}'
    rows = {
        'config': facts['config'] or 'in the file of the weights',
        'checkpoint': facts['checkpoint'] or 'none',
        'network': f'{facts["network"]}, {facts["parameters"] / 1e6:.4g} million parameters',
        'images': f'{width} x {height} pixels in {channels} channel{"s" * (channels != 1)}{latents}, {classes}',
        'FLOPs': f'{facts["flops"] / 1e9:.4g} G per network evaluation of an image',
        'sampler': f'{facts["sampler"]}, NFE {facts["nfe"]}, {facts["flops_per_image"] / 1e9:.4g} GFLOPs per image',
        'memory': f'{in_bytes(facts["weight_bytes"])} of weights and {in_bytes(facts["activation_bytes"])} of tensors '
        f'for a {batch}, in {facts["dtype"]}',
    }
    return '\n'.join([facts['model'], *(f'  {name:10}  {text}' for name, text in rows.items())])
