"""Lines that commands print about the images that they have generated."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcm.utils.wording import counted

if TYPE_CHECKING:  # which loads torch
    from mmcm.apis.inferencer import ConsistencyModelInferencer


def evaluations(nfe: int, unit: str = 'image') -> str:
    """Return the number of network evaluations (NFE) for each image, or another unit, in words."""
    return f'{counted(nfe, "network evaluation")} per {unit}'


def report(
    what: str,
    inferencer: 'ConsistencyModelInferencer',
    result: Any,
    written: Sequence[Path],
    out: Path,
    details: Sequence[str] = (),
) -> None:
    """Print that `what` was generated, in which time (of a SamplingResult or EditResult), and the files below `out`."""
    where = written[0] if len(written) == 1 else f'{len(written)} files in {out}'
    time = f'in {result.seconds:.2f} s on {inferencer.device}'
    print(f'{", ".join([f"Generated {what} with {inferencer.checkpoint} {time}", *details])}: {where}')
