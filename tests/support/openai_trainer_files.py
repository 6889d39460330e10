"""Checkpoints in the format of OpenAI's trainer: file names, contents and both forms of optimiser parameters."""

import torch
from torch import nn

NETWORK = 'denoiser.backbone.'


def write_trainer_folder(folder, checkpoint, step, half=False, without=()):
    """Write the content of a training `checkpoint` of ours as that trainer would write it after `step` steps.

    Args:
        folder (Path): Where to.
        checkpoint (dict): Content of a checkpoint whose optimiser is RAdam.
        step (int): Steps of the optimiser so far.
        half (bool): Whether it trained in half precision, and so optimised two flat parameters.
        without (Sequence[str]): Parts to leave out: 'opt', 'target_model', 'ema'.
    """
    folder.mkdir(exist_ok=True)
    weights = checkpoint['state_dict']

    def part(prefix):
        return {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}

    def save(name, content):
        if not any(name.startswith(word) for word in without):
            torch.save(content, folder / f'{name}{step:06d}.pt')

    # Parameters, not tensors, where the trainer puts its master parameters into the state dict.
    online = {key: nn.Parameter(value.clone()) for key, value in part(NETWORK).items()}
    for prefix in {'.'.join(key.split('.')[:2]) for key in weights if key.startswith('emas.')}:
        save(f'ema_{prefix.split(".")[1].replace("_", ".")}_', part(f'{prefix}.backbone.'))
    if any(key.startswith('target.') for key in weights):
        save('target_model', part('target.backbone.'))
    save('opt', optimiser_of(online, checkpoint, half).state_dict())
    save('model', online)


def optimiser_of(online, checkpoint, half):
    """Return a RAdam over the network's parameters alone, with the state that `checkpoint` has for them."""
    # Ours counts through all modules of the model, in the order of the weights: the network comes first.
    moments = checkpoint['optimizer']['state']
    assert list(moments) == list(range(len(online)))
    settings = {key: checkpoint['optimizer']['param_groups'][0][key] for key in ('lr', 'betas', 'eps', 'weight_decay')}
    keys = list(online)
    groups = [[key] for key in keys]
    if half:  # all vectors, then all matrices
        groups = [[key for key in keys if (online[key].ndim <= 1) == vector] for vector in (True, False)]
    parameters = [
        online[group[0]]
        if not half
        else nn.Parameter(torch.cat([online[key].detach().flatten() for key in group]).view(shape))
        for group, shape in zip(groups, ((-1,), (1, -1)) if half else [None] * len(groups))
    ]
    optimiser = torch.optim.RAdam(parameters, **settings)
    for group, parameter in zip(groups, parameters):
        parts = [moments[keys.index(key)] for key in group]
        optimiser.state[parameter] = {'step': parts[0]['step'].clone()} | {
            name: torch.cat([moment[name].flatten() for moment in parts]).view(parameter.shape)
            for name in ('exp_avg', 'exp_avg_sq')
        }
    return optimiser
