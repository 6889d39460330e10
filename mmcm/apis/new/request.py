"""Records of `mmcm new`: what the user asks for, and what comes of it."""

from dataclasses import dataclass
from pathlib import Path

from mmcm.apis.new.choose import Plan
from mmcm.apis.new.inspection import Findings
from mmcm.apis.new.source import Source


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        source (Source): The images.
        outs (tuple[Path, ...]): The configs to write, one for each training.
        pack (Path): Where a pack is written, if that pays.
        method (str): A key of `METHODS`.
        budget (int): Time of all trainings together, in seconds.
        start (str, optional): Model to start from.
        workers (int): Processes that read images to pack.
        force (bool): Whether a pack may replace a file.
    """

    source: Source
    outs: tuple[Path, ...]
    pack: Path
    method: str
    budget: int
    start: str | None = None
    workers: int = 1
    force: bool = False


@dataclass(frozen=True)
class Trained:
    """A training of a new config, with its predictions.

    Attributes:
        out (Path): The config.
        plan (Plan): What it says.
        seconds (float): Predicted time.
        memory (int, optional): Predicted peak of the memory, in bytes.
        step (float): Measured time of a step, in seconds.
    """

    out: Path
    plan: Plan
    seconds: float
    memory: int | None
    step: float


@dataclass(frozen=True)
class NewConfig:
    """Result of `new_config`.

    Attributes:
        findings (Findings): What the source holds.
        trainings (list[Trained]): The trainings in their order.
        is_packed (bool): Whether the images were packed.
        left_out (list[str]): Place and reason of each image that the pack lacks.
    """

    findings: Findings
    trainings: list[Trained]
    is_packed: bool
    left_out: list[str]
