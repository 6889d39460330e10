"""`EditRequest`: what a user may ask of an edit. Each argument is declared here, and nowhere else.

A task is a dataclass whose fields are its arguments, and `EditRequest` has the arguments of all tasks. The command
line, `edit_picture`, the demo and the page read type, default, range and help from `arguments_of`. Adding a task takes
a class in `TASKS`, and a function in `mmcm.apis.editing.tasks` that turns it into tensors.

No torch is imported, so that `mmcm edit --help` is quick.
"""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mmcm.utils.checks import check_choice, check_count, check_flag, check_number
from mmcm.utils.errors import InputError

if TYPE_CHECKING:  # which loads torch
    from mmcm.apis.editing.images import ImageLike

REGIONS = ('whole', 'square')
MAX_CALLS = 20000  # NFE for a tile: some minutes of a small model on a CPU
STROKE_SIGMAS = (5.38, 2.24)  # Song et al. (2023, Appendix D)
VARIATION_SIGMAS = (1.0,)


@dataclass(frozen=True)
class Argument:
    """An argument of a task, or of all tasks.

    Attributes:
        type (type): bool for a flag, int, float, str, or Path for an image.
        help (str): What it says, in a phrase.
        many (bool): Whether it is a list of such values.
        choices (Sequence[str], optional): The values that it may have.
        least, most (float, optional): Its range; what depends on the model is checked with the model.
        metavar (str, optional): What the help of the command line calls its value.
        option (str): The option of the command line.
        title (str): What the page calls it.
        initial (Any): The value that the page begins with.
        name (str): Its name in Python.
        required (bool): Whether it has no default.
        default (Any): Its default.
    """

    type: type
    help: str
    many: bool = False
    choices: Sequence[str] | None = None
    least: float | None = None
    most: float | None = None
    metavar: str | None = None
    option: str = ''
    title: str = ''
    initial: Any = None
    name: str = ''
    required: bool = False
    default: Any = None

    def check(self, value: Any) -> None:
        """Raise an InputError if `value` is not of the type, not one of the choices or below the least count."""
        if self.many or (value is None and not self.required and self.default is None):  # what takes a list checks it
            return
        if self.choices is not None:
            check_choice(self.name, value, self.choices)
        elif self.type is bool:
            check_flag(self.name, value)
        elif self.type is float:
            check_number(self.name, value)
        elif self.type is int and self.least is not None:
            check_count(self.name, value, int(self.least))


def argument(kind: type, help: str, default: Any = MISSING, **details: Any) -> Any:
    """Return the field of a dataclass that declares an `Argument`."""
    return field(default=default, metadata={'argument': Argument(kind, help, **details)})


def arguments_of(owner: Any) -> list[Argument]:
    """Return the arguments that a task or `EditRequest` declares, class or object, in their order."""
    return [
        replace(
            each.metadata['argument'],
            name=each.name,
            required=each.default is MISSING,
            default=None if each.default is MISSING else each.default,
            option=each.metadata['argument'].option or '--' + each.name.replace('_', '-'),
        )
        for each in fields(owner)
        if 'argument' in each.metadata
    ]


@dataclass(frozen=True, eq=False)
class EditTask:
    """What is to be done with an image; the first line of a task's docstring is its help on the command line.

    Attributes:
        name (str): What users call it.
        sees_whole (bool): Whether it can edit a whole image, in tiles; all tasks can edit the central square.
        falls_back (bool): Whether it edits the central square where the whole image takes too many network evaluations.
        num_candidates (int): How many results there are where the user does not say.
        sigmas (Sequence[float], optional): The noise levels where the user names none; None for those of
            `editing_sampler`.
        starts_at (float, optional): The level at which sampling has to start, where it is not the user's choice.
    """

    name: ClassVar[str]
    sees_whole: ClassVar[bool] = False
    falls_back: ClassVar[bool] = True
    num_candidates: ClassVar[int] = 4
    sigmas: ClassVar[Sequence[float] | None] = None
    starts_at: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        for each in arguments_of(self):
            each.check(getattr(self, each.name))


@dataclass(frozen=True, eq=False)
class Inpaint(EditTask):
    """Generate parts of an image anew.

    With `resize_mask`, a mask of another size is stretched to the image's, height and width independently: the pixels
    of a smaller mask are repeated, so black and white stay what they are; those of a larger mask are averaged.
    """

    name = 'inpaint'
    sees_whole = True
    mask: 'ImageLike' = argument(
        Path, 'image of the same size, white in the part to replace; grey blends', metavar='PATH'
    )
    resize_mask: bool = argument(bool, 'stretch a mask of another size to the size of the image', False)


@dataclass(frozen=True, eq=False)
class Uncrop(EditTask):
    """Generate what is around an image."""

    name = 'uncrop'
    share: float = argument(
        float,
        'part of height and width that the image takes',
        least=0.0,
        most=1.0,
        metavar='S',
        title='Share of the width that the image takes',
        initial=0.5,
    )


@dataclass(frozen=True, eq=False)
class Colorize(EditTask):
    """Generate the colours of an image; its brightness stays."""

    name = 'colorize'
    sees_whole = True


@dataclass(frozen=True, eq=False)
class SuperResolve(EditTask):
    """Generate the details of an image; the means of its patches stay."""

    name = 'super-resolve'
    sees_whole = True
    falls_back = False  # a small square is no enlargement
    factor: int = argument(
        int,
        'how many times larger the result is. An image exactly N times smaller than those of the model is enlarged; '
        'any other is scaled to their size, and replaced by the means of N x N pixels',
        least=2,
        metavar='N',
        title='Factor',
    )


@dataclass(frozen=True, eq=False)
class Deblur(EditTask):
    """Sharpen an image whose blur kernel is known."""

    name = 'deblur'
    kernel: Sequence[float] = argument(
        float,
        'an odd number of weights, by which rows and columns were blurred, in pixels at the size of the model',
        many=True,
        metavar='W',
        title='Kernel: weights in pixels of the model',
        initial='1 2 1',
    )


@dataclass(frozen=True, eq=False)
class Stroke(EditTask):
    """Generate an image from a sketch in strokes of colour (SDEdit); --sigmas says how freely."""

    name = 'stroke'
    sigmas = STROKE_SIGMAS


@dataclass(frozen=True, eq=False)
class Variations(EditTask):
    """Generate images that are like an image; --sigmas says how much."""

    name = 'variations'
    sigmas = VARIATION_SIGMAS


@dataclass(frozen=True, eq=False)
class Denoise(EditTask):
    """Remove noise of a known strength from an image."""

    name = 'denoise'
    sees_whole = True
    num_candidates = 1  # in a single step nothing is random, and all results would be the same
    sigma: float = argument(
        float,
        'standard deviation of the noise, where black is -1 and white 1: that of grey levels divided by 127.5; with '
        '--region square, at the size of the model',
        least=0.0,
        metavar='S',
        title='Strength of the noise, black being -1 and white 1',
        initial=0.3,
    )

    @property
    def sigmas(self) -> Sequence[float]:  # type: ignore[override]
        """The level of the noise in the image."""
        return (self.sigma,)

    @property
    def starts_at(self) -> float:  # type: ignore[override]
        """The level of the noise in the image."""
        return self.sigma


TASKS: dict[str, type[EditTask]] = {
    task.name: task for task in (Inpaint, Uncrop, Colorize, SuperResolve, Deblur, Stroke, Variations, Denoise)
}
WHOLE = tuple(name for name, task in TASKS.items() if task.sees_whole)


@dataclass(frozen=True, eq=False)
class EditRequest:
    """A task, the image that it is for, and what all tasks take. What depends on the model is checked by `plan`.

    Attributes:
        task (EditTask): What is to be done, with its own arguments.
        img (Image | ndarray | str | Path): The image: Pillow's, pixels (H, W, 3), (H, W, 4) with transparency or
            (H, W), uint8 RGB, or a file.
        labels: The classes of the candidates, as in `ConsistencyModelInferencer.__call__`.
        num_candidates (int, optional): How many results; by default as many as the task says.
        seed (int | Sequence[int]): Seed of the results, or one for each, as in `ConsistencyModelInferencer.__call__`.
        num_steps (int, optional): Number of steps, at the levels that the model was trained with.
        sigmas (Sequence[float] | float, optional): The noise levels, descending; for 'stroke' and 'variations', the
            first one says how much noise covers the image.
        region (str, optional): 'whole', the whole image in overlapping tiles, of 'inpaint' those around the mask; or
            'square', its central square, scaled to the model's size, or the central part in the proportions of a model
            of other images. By default the whole image, for the tasks of `WHOLE` and unless that takes more than
            `max_calls`.
        side (int, optional): Shorter side in pixels that a whole image is scaled to, for 'inpaint' and 'colorize'.
        max_calls (int): NFE for a tile that a whole image may take, over all candidates.
    """

    task: EditTask
    img: 'ImageLike' = argument(Path, 'the image, of any format and size', metavar='PATH')
    labels: Any = argument(
        str,
        'what is in the image, as the number or the name of a class; one for all candidates or one for each; or '
        "'balanced' (0, 1, 2, ... in turn); or 'random', by the seed, which is the default and rarely fits",
        None,
        many=True,
        metavar='LABEL',
    )
    num_candidates: int | None = argument(
        int, 'how many results; default: 4, and 1 for denoise', None, least=1, metavar='N'
    )
    seed: int | Sequence[int] = argument(int, 'seed of the results', 0)
    num_steps: int | None = argument(
        int, 'number of steps; fewer are coarser', None, least=1, metavar='N', option='--steps'
    )
    sigmas: Sequence[float] | float | None = argument(
        float, 'noise levels, descending, such as 80 9 1', None, many=True, metavar='S'
    )
    region: str | None = argument(
        str,
        'what is edited: the whole image in overlapping tiles (of inpaint those around the mask), or its central '
        'square, scaled to the size of the model; default: whole for inpaint, colorize, super-resolve and denoise, '
        'unless it takes more than --max-calls',
        None,
        choices=REGIONS,
    )
    side: int | None = argument(
        int,
        'shorter side in pixels that a whole image is scaled to; default: for colorize 64 or that of the model, for '
        'inpaint by the thickness of the mask',
        None,
        metavar='N',
    )
    max_calls: int = argument(int, 'NFE for a tile that a whole image may take', MAX_CALLS, least=1, metavar='N')

    def __post_init__(self) -> None:
        for each in arguments_of(self):
            each.check(getattr(self, each.name))
        name, whole = self.task.name, ', '.join(WHOLE)
        if self.region == 'whole' and not self.task.sees_whole:
            raise InputError(f'{name} sees the central square of an image; the region whole is for {whole}.')
        if self.side is not None and (self.region == 'square' or not self.task.sees_whole):
            raise InputError(f'a side is for whole images, in {whole}: leave it out.')

    @classmethod
    def of(cls, task: str, img: 'ImageLike', *common: Any, **arguments: Any) -> 'EditRequest':
        """Return the request for a task by its name.

        Args:
            task (str): A name of `TASKS`.
            img (Image | ndarray | str | Path): The image.
            *common: Further arguments of `EditRequest`, in their order.
            **arguments: The others by their names, and those of the task.

        Raises:
            InputError: If there is no such task, or the arguments are not those that it takes.
        """
        check_choice('task', task, list(TASKS))
        of_all = {each.name for each in arguments_of(cls)}
        own = {name: value for name, value in arguments.items() if name not in of_all}
        taken = {each.name: each.required for each in arguments_of(TASKS[task])}
        if not {name for name, required in taken.items() if required} <= set(own) <= set(taken):
            raise InputError(
                f'{task} takes {", ".join(taken) or "no further arguments"}, got {", ".join(own) or "none"}.'
            )
        in_common = {name: value for name, value in arguments.items() if name in of_all}
        return cls(TASKS[task](**own), img, *common, **in_common)
