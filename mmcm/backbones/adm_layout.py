"""Places of the weights of an ADMUNet: which level, layer and kind of block each key belongs to.

All of it follows from the keys alone, so that a file without a config can be compared with another network: blocks
that change the size end a level of `output_blocks`, and each level there has one layer more than residual blocks on the
way down.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

Place = tuple[str, ...]  # of one weight: the kind of its block, the layer in the level, and its name in the block
KEY = re.compile(r'(input_blocks|output_blocks)\.(\d{1,3})\.(\d)\.(.+)')  # of files, too: bounded
LAST = 'last'  # layer of `output_blocks` that changes the size, however many there are before it


@dataclass(frozen=True)
class ADMLayout:
    """Places of the weights of one network.

    Attributes:
        num_levels (int): Levels, each of half the size of the one before.
        places (dict[str, tuple[int | None, Place]]): For each key its level, counted from the coarsest, 0, or None
            outside of levels; and its place.
    """

    num_levels: int
    places: dict[str, tuple[int | None, Place]]

    @classmethod
    def of(cls, keys: Iterable[str]) -> 'ADMLayout | None':
        """Return the layout of the network with these `keys`; None if they are not those of an ADMUNet."""
        keys = list(keys)
        found = {key: match.groups() for key in keys if (match := KEY.fullmatch(key))}
        inputs, outputs = (
            {int(block) for way, block, _, _ in found.values() if way == name}
            for name in ('input_blocks', 'output_blocks')
        )
        kinds = {
            (way, int(block), int(layer)): _kind(way, int(block), int(layer), name)
            for way, block, layer, name in found.values()
        }
        resampling = [block for (way, block, _), kind in kinds.items() if way == 'output_blocks' and kind == 'resample']
        per_level = min(resampling, default=len(outputs) - 1) + 1
        num_levels = len(outputs) // per_level if per_level else 0
        whole = outputs == set(range(num_levels * per_level)) and inputs == set(range(num_levels * per_level))
        if not whole or num_levels == 0:
            return None
        places: dict[str, tuple[int | None, Place]] = {}
        for key in keys:
            if key not in found:
                places[key] = None, (key,)
                continue
            way, block, layer, name = found[key]
            kind = kinds[way, int(block), int(layer)]
            if way == 'input_blocks' and block == '0':
                places[key] = None, ('first', name)
            elif way == 'input_blocks':
                level, index = divmod(int(block) - 1, per_level)
                resample = index == per_level - 1
                part = ('down', 'resample', name) if resample else ('down', kind, str(index), name)
                places[key] = num_levels - 1 - level, part
            else:
                level, index = divmod(int(block), per_level)
                place = LAST if index == per_level - 1 else str(index)
                part = ('up', kind, name) if kind == 'resample' else ('up', kind, place, name)
                places[key] = level, part
        return cls(num_levels, places)

    def by_place(self, shift: int = 0) -> dict[tuple[int | None, Place], str]:
        """Return the key at each place, the levels counted from `shift` levels above the coarsest one."""
        return {(None if level is None else level - shift, place): key for key, (level, place) in self.places.items()}


def _kind(way: str, block: int, layer: int, name: str) -> str:
    """Return what the layer is that has a weight of this name: 'res', 'attention' or, on the way up, 'resample'."""
    if name.startswith(('norm.', 'qkv.', 'proj_out.')):
        return 'attention'
    return 'resample' if way == 'output_blocks' and layer > 0 else 'res'
