"""Make a config, or a chain of them, that trains on a source of images within a time."""

import tempfile
import time
from pathlib import Path

from mmcm.apis.new.choose import Start
from mmcm.apis.new.inspection import inspect_images
from mmcm.apis.new.planner import Planner, Report
from mmcm.apis.new.request import NewConfig, Request
from mmcm.apis.new.source import background_in_words, chosen_size, packed, pays_to_pack, unpacked
from mmcm.apis.new.write_config import config_text
from mmcm.apis.resolve_model import resolve_model
from mmcm.utils.files import write_bytes


def new_config(request: Request, report: Report = print) -> NewConfig:
    """Look at the images, choose by measured time and memory, and write the configs.

    Args:
        request (Request): What the user asks for.
        report (Callable): Called with a line before each piece of work.

    Raises:
        InputError: If the images cannot be trained on, or not within the time or the memory; no config is written.
    """
    start = None if request.start is None else find_start(request.start)
    dataset = request.source.found()
    begin = time.monotonic()
    findings = inspect_images(dataset, background_in_words(request.source), progress=True)
    seconds = (time.monotonic() - begin) * findings.num_images / findings.num_read / max(1, request.workers)
    size = chosen_size(request.source, dataset, findings)
    is_packed = pays_to_pack(dataset, size, seconds, request.budget, request.pack.parent)
    left_out = findings.broken
    if is_packed:
        report(f'packing the images into {request.pack}')
        data, left_out = packed(request.source, size, findings, request.pack, request.workers, request.force)
    else:
        data = unpacked(request.source, dataset, size, findings)
    with tempfile.TemporaryDirectory(prefix='mmcm-new-') as folder:
        planner = Planner(request, data, start, Path(folder), report)
        trainings = planner.trainings()
    for training in trainings:
        write_bytes(training.out, config_text(training.plan).encode())
    return NewConfig(findings, trainings, is_packed, left_out)


def find_start(name: str) -> Start:
    """Return the model to start from; a local path becomes absolute, as trainings may begin in another folder."""
    config = resolve_model(name).config
    path = Path(name).expanduser()
    return Start(str(path.absolute()) if path.exists() else name, config.model.denoiser.to_dict())
