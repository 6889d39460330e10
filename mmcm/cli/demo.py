"""`demo/mmagic_inference_demo.py`: sample images from a config and a checkpoint, with the arguments of MMagic's demo.

Where MMagic is installed, its inferencer samples them, else ours; the images are the same. Ours alone edits images:
MMagic's inferencer of these models takes none.
"""

import sys
import warnings
from argparse import Namespace
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcm.apis.editing.request import TASKS, EditRequest, arguments_of
from mmcm.cli.config import add_pairs, as_values
from mmcm.cli.errors import command
from mmcm.cli.model_arguments import labels_of
from mmcm.cli.parser import CommandParser
from mmcm.cli.report import evaluations, report
from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest
from mmcm.utils.outputs import claimed
from mmcm.utils.wording import counted
from mmcm.zoo import list_models

if TYPE_CHECKING:  # which loads torch
    from mmcm.apis.request import SampleRequest
    from mmcm.apis.sampling_result import SamplingResult

FAMILY = 'consistency_models'  # the name of the models in MMagic's inferencer
TASK = 'conditional'
SETTINGS = ['num_images', 'batch_size', 'columns']
SAMPLER_SETTINGS = (
    'type sigmas indices num_scales num_steps sigma_min sigma_max rho s_churn s_tmin s_tmax s_noise'.split()
)
FLAGS = ('img', 'mask', 'labels', 'seed')  # arguments of edits that have options of their own
EDITING_SETTINGS = (
    'task',
    *(
        each.name
        for declared in (EditRequest, *TASKS.values())
        for each in arguments_of(declared)
        if each.name not in FLAGS
    ),
)


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Generate or edit images: a grid where --result-out-dir has a suffix, else a folder of single ones.', prog
    )
    parser.add_argument('--model-name', default=FAMILY, help=f'{FAMILY}, or the name of a model of the zoo')
    parser.add_argument(
        '--model-setting', type=int, help='number of the model in the list that --print-supported-models prints'
    )
    parser.add_argument('--config-name', help='name of a config that comes with mmcm')
    parser.add_argument('--model-config', help='path of a config file')
    parser.add_argument('--model-ckpt', help="checkpoint: path, URL, work directory or zoo name; default: the config's")
    parser.add_argument('--label', nargs='+', help='classes, as numbers or names; default: random ones, by the seed')
    parser.add_argument('--result-out-dir', help='where to write: an image file or a folder')
    parser.add_device()
    parser.add_integer('--seed', 'seed of the images', 2022, None)
    add_pairs(
        parser,
        '--extra-parameters',
        f'further settings: {", ".join(SETTINGS)} (default: 4 images, as MMagic has it); of the sampler: '
        f'{", ".join(SAMPLER_SETTINGS)}. For example num_images=100 indices=0,22 num_scales=40; with --img: '
        f'{", ".join(EDITING_SETTINGS)}, for example task=inpaint',
        {},
    )
    parser.add_argument('--print-supported-models', action='store_true', help='list the models and leave')
    parser.add_argument('--print-supported-tasks', action='store_true', help='list the tasks and leave')
    parser.add_argument('--print-task-supported-models', metavar='TASK', help='list the models for a task and leave')
    parser.add_argument('--img', help='image to edit; --extra-parameters task=... says how')
    parser.add_argument('--mask', help='for task=inpaint: image of the same size, white in the part to replace')
    parser.add_force()
    for name in ('video', 'trimap', 'text'):
        parser.add_argument(f'--{name}', help="MMagic's argument; these models take none")
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    if args.print_supported_tasks:
        print(TASK)
    elif args.print_supported_models or args.print_task_supported_models:
        if args.print_task_supported_models not in (None, TASK):
            raise InputError(f'no model is for the task {args.print_task_supported_models!r}; there is {TASK!r}.')
        print(FAMILY)
        for index, entry in enumerate(list_models()):
            print(f'  {index}  {entry.name}  {entry.config}')
    elif args.img is not None or args.mask is not None:
        edit(args)
    else:
        draw(args)


def draw(args: Namespace) -> None:
    """Sample the images that `args` ask for, write them, and print where they are."""
    extra = extra_parameters(args, SETTINGS + SAMPLER_SETTINGS)
    sampler = {key: extra[key] for key in SAMPLER_SETTINGS if key in extra}

    model = which_model(args)
    from mmcm.apis.inferencer import ConsistencyModelInferencer
    from mmcm.apis.sampling_result import check_out, file_names  # torch is loaded only to sample
    from mmcm.utils.checks import check_count

    for key in SETTINGS:
        if key in extra:
            check_count(key, extra[key])
    out = Path(args.result_out_dir).expanduser()
    labels = labels_of(args.label)
    inferencer = ConsistencyModelInferencer(model, args.model_ckpt, args.device, sampler)
    request = inferencer.request(
        extra.get('num_images'),
        labels,
        args.seed,
        extra.get('batch_size'),
        # 4 as MMagic's inferencer has it, or what a config of its own implementation says.
        default_images=inferencer.model.requests['num_samples'],
    )
    inside = file_names(request.num_images, request.labels)
    with claimed({'--result-out-dir': out}, args.force, folders=True, inside=inside):
        check_out(out)
        mmagic = find_mmagic()  # whose import takes seconds: mistakes are reported before
        if mmagic is None:
            result = inferencer.sample(request, progress=True)
            written = result.save(out, extra.get('columns'))
        else:
            result, written = sample_with_mmagic(mmagic, out, args, request, model, labels, extra, sampler)
    details = [evaluations(result.nfe), *([] if mmagic is None else [f'through MMagic {mmagic.MMAGIC_VERSION}'])]
    report(counted(request.num_images, 'image'), inferencer, result, written, out, details)


def sample_with_mmagic(
    mmagic: Any,
    out: Path,
    args: Namespace,
    request: 'SampleRequest',
    model: str,
    labels: Any,
    extra: dict[str, Any],
    sampler: dict[str, Any],
) -> 'tuple[SamplingResult, list[Path]]':
    """Have MMagic's inferencer sample `request` into `out`; return the result and the files."""
    parameters = {key: extra[key] for key in SETTINGS[1:] if key in extra}
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.* is overridden by ')  # of its list of models: that is what we want
        editor = mmagic.MMagicInferencer(
            FAMILY,
            model_config=str(model),
            model_ckpt=args.model_ckpt,
            device=args.device,
            extra_parameters={**parameters, 'num_batches': request.num_images, 'sampler': sampler},
            seed=args.seed,
        )
    editor.infer(label=labels, result_out_dir=str(out))
    return editor.inferencer.inferencer.drawing, editor.inferencer.inferencer.written


def edit(args: Namespace) -> None:
    """Edit the image that `args` name, write the result, and print where it is."""
    extra = extra_parameters(args, EDITING_SETTINGS)
    if args.img is None or 'task' not in extra:
        raise InputError(
            'to edit an image, give --img, and say how: --extra-parameters task=inpaint, for example. To '
            'generate images, leave out --img and --mask.'
        )
    model = which_model(args)
    from mmcm.apis.editing import plan_picture
    from mmcm.apis.inferencer import ConsistencyModelInferencer
    from mmcm.apis.sampling_result import check_out  # torch is loaded only to sample

    out = Path(args.result_out_dir).expanduser()
    if args.mask is not None:
        extra['mask'] = args.mask
    with claimed({'--result-out-dir': out}, args.force, {'--img': args.img, '--mask': args.mask}, folders=True):
        inferencer = ConsistencyModelInferencer(model, args.model_ckpt, args.device)
        planned = plan_picture(inferencer, extra.pop('task'), args.img, labels_of(args.label), seed=args.seed, **extra)
        check_out(out)
        edited = planned.run(progress=True)
        written = edited.save(out)
    report(counted(len(edited.candidates), 'candidate'), inferencer, edited, written, out)


def extra_parameters(args: Namespace, known: Sequence[str]) -> dict[str, Any]:
    """Return --extra-parameters; an InputError for one that is not `known`, and for an argument of other models."""
    for name in ('video', 'trimap', 'text'):
        if getattr(args, name) is not None:
            raise InputError(f'--{name} is not for these models, which take labels and images. Leave it out.')
    if args.result_out_dir is None:
        raise InputError('--result-out-dir is missing: name an image file for a grid, or a folder for single images.')
    extra = as_values(args.extra_parameters)
    unknown = [key for key in extra if key not in known]
    if unknown:
        raise InputError(f'--extra-parameters knows no {unknown[0]!r}, only {", ".join(known)}.')
    return extra


def find_mmagic() -> Any | None:
    """Return the module that lets MMagic sample from our models, or None where MMagic cannot be imported."""
    if find_spec('mmagic') is None:
        return None
    try:
        from mmcm.mmagic import inferencer_bridge
    except Exception as error:  # on other versions of its many requirements, its import ends in any of them
        print(f'MMagic is left aside, as it cannot be imported here: {type(error).__name__}: {error}', file=sys.stderr)
        return None
    return inferencer_bridge


def which_model(args: Namespace) -> str:
    """Return the config or zoo name that the arguments name."""
    models = list_models()
    names = [entry.name for entry in models]
    if args.model_name not in (FAMILY, *names):
        raise InputError(
            f'no model {args.model_name!r} in the zoo{nearest(args.model_name, [FAMILY, *names])}; '
            '--print-supported-models lists all'
        )
    given = args.model_config or args.config_name
    if given is not None:
        return given
    if args.model_setting is not None:
        if not 0 <= args.model_setting < len(models):
            raise InputError(
                f'--model-setting {args.model_setting} is not in the list of --print-supported-models, '
                f'which ends at {len(models) - 1}.'
            )
        return models[args.model_setting].name
    if args.model_name != FAMILY:
        return args.model_name
    if args.model_ckpt in names:
        return args.model_ckpt
    raise InputError(
        f'which of the {FAMILY}? Name a --model-config, or a model of the zoo as --model-ckpt; '
        '--print-supported-models lists them.'
    )
