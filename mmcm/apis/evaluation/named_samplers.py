"""Named samplers of a config, so that one run can measure several.

`samplers = dict(twostep=dict(indices=(0, 22)), heun=dict(type='HeunSampler', num_steps=18))` at the top level of a
config: each entry is a change of `model.sampler`, or, with a `type`, a sampler of its own.
"""

from collections.abc import Sequence

from mmengine.config import Config

from mmcm.apis.resolve_model import sampler_config
from mmcm.registry import SAMPLERS
from mmcm.samplers import MultistepSampler
from mmcm.samplers.multistep import as_tuple
from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest

OWN = 'config'  # the name of the config's own sampler
FIRST = 'onestep'  # the name of its first level alone, unless `samplers` has that name


def named_samplers(config: Config, checkpoint: str) -> dict[str, dict]:
    """Return the config of each sampler of `config` by its name, with the schedule of a released `checkpoint`.

    The first one, 'config', is the model's own.
    """
    own = config.model.get('sampler')
    samplers = config.get('samplers') or {}
    if not isinstance(samplers, dict) or OWN in samplers:
        raise InputError(
            f'samplers has to be a dict of names other than {OWN!r}, which is that of model.sampler, and '
            f'what they change, such as dict(twostep=dict(sigmas=(80.0, 1.5))), got {samplers!r}.'
        )
    found = {}
    if own:
        found[OWN] = sampler_config(own, checkpoint)
        if isinstance(SAMPLERS.build(found[OWN]), MultistepSampler):
            levels = 'sigmas' if found[OWN].get('indices') is None else 'indices'
            found[FIRST] = {**found[OWN], levels: as_tuple(found[OWN][levels])[:1]}
    for name, changes in samplers.items():
        found[name] = sampler_config(own, checkpoint, changes)
    return {name: Config(sampler).to_dict() for name, sampler in found.items()}


def choose_samplers(config: Config, checkpoint: str, names: Sequence[str] = (OWN,)) -> dict[str, dict]:
    """Return the configs of the samplers `names` of `config`.

    Raises:
        InputError: If there is no sampler of a name, or one cannot be built.
    """
    known = named_samplers(config, checkpoint)
    for name in names:
        if name == OWN and OWN not in known:
            raise InputError('the model has no sampler: set model.sampler in the config.')
        if name not in known:
            raise InputError(
                f'the config has no sampler {name!r}{nearest(name, known)}; it has {", ".join(known)}. '
                'More can be named in it, as samplers = dict(name=dict(...)).'
            )
        try:
            SAMPLERS.build(known[name])
        except InputError as error:
            raise InputError(f'the sampler {name!r} of the config: {error}') from error
    return {name: known[name] for name in names}
