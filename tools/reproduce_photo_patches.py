#!/usr/bin/env python
"""Train the models of photo patches, measure their edits, and write the table and images of the documentation.

Each step is a command of its own, printed before it runs. A step that has finished in the same work directory is not
repeated: the script goes on where it was stopped. With `--model`, nothing is trained: that model is measured each time.
"""

import json
from argparse import ArgumentParser
from itertools import chain
from pathlib import Path

from mmengine.config import Config
from reproduce_digits import METHODS, ROOT, in_order, run, teacher_options, write_between

from mmcm.utils.system import usable_cores

FOLDER = ROOT / 'configs' / 'photo_patches'
HEADS = {  # page: the head of its table, the names of edits and of methods
    'README.md': (
        '| Edit | By | PSNR, dB | pooled PSNR, dB | SSIM |',
        {'colorize': 'colorization', 'super-resolve': '4x super-resolution', 'inpaint': '25 % inpainting'},
        {},
    ),
    'README_zh-CN.md': (
        '| 编辑 | 方法 | PSNR（dB） | 合并 PSNR（dB） | SSIM |',
        {'colorize': '上色', 'super-resolve': '4 倍超分辨率', 'inpaint': '25 % 补全'},
        {
            'grey': '灰度图',
            'mean colour': '平均颜色',
            'patch means': '小块均值',
            'bicubic': '双三次插值',
            'mean of the known': '已知像素的均值',
            'Telea': 'Telea',
            'candidate': '单个候选',
            'mean of candidates': '候选的均值',
            'best candidate': '最佳候选',
        },
    ),
}


def config_path(method: str) -> Path:
    """Return the config of `method`."""
    return FOLDER / f'{method}_1xb32_photo-patches-32x32.py'


def available() -> list[str]:
    """Return the methods that have a config."""
    return [method for method in METHODS if config_path(method).exists()]


def train(method: str, work_dir: Path, threads: int) -> None:
    """Train `method`, unless its last checkpoint exists."""
    folder = work_dir / method
    config = config_path(method)
    if (folder / f'iter_{Config.fromfile(config).train_cfg.max_iters}.pth').exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = ['tools/train.py', str(config.relative_to(ROOT)), '--work-dir', str(folder), '--resume']
    options = teacher_options(method, work_dir)
    run([*command, *(['--cfg-options', *options] if options else [])], folder / 'train.txt', threads)


def measure(model: str, folder: Path, options: list[str], threads: int, again: bool) -> dict:
    """Return the scores of `model`, measured anew if `again` or where `folder` has none."""
    scores = folder / 'edits.json'
    if again or not scores.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            'tools/score_edits.py',
            '--model',
            model,
            '--out',
            str(scores),
            '--sheets',
            str(folder / 'sheets'),
            '--force',
        ]
        run([*command, *options], folder / 'edits.txt', threads)
    return json.loads(scores.read_text(encoding='utf-8'))


def table(scores: dict, page: str) -> str:
    """Return the table of `scores`, means with standard errors, in Markdown, in the language of `page`."""
    head, edits, ways = HEADS[page]
    lines = [head, '| :-- | :-- | --: | --: | --: |']
    for edit, content in scores['edits'].items():
        for way, values in content['results'].items():
            cells = [
                f'{number["mean"]:.{digits}f} ± {number["standard_error"]:.{digits}f}'
                for number, digits in ((values['psnr'], 1), (values['pooled_psnr'], 1), (values['ssim'], 3))
            ]
            lines.append(f'| {edits[edit]} | {ways.get(way, way)} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    """Run the script."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--method', choices=available(), default='cd', help='the recipe to run and measure')
    parser.add_argument('--model', help='measure this model, as `mmcm edit` takes it, and train none')
    parser.add_argument('--num-images', type=int, default=256, help='images to edit, at most')
    parser.add_argument('--num-candidates', type=int, default=8, help='results per image')
    parser.add_argument('--steps', type=int, help='of the sampler; default: those of `mmcm edit`')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce_photo_patches'))
    parser.add_argument(
        '--write-docs',
        action='store_true',
        help='write the table into configs/photo_patches and the images into docs/images',
    )
    args = parser.parse_args()

    work_dir = args.work_dir.resolve()
    threads = usable_cores()
    model, name = args.model, Path(args.model or args.method).stem
    if model is not None and Path(model).exists():
        model = str(Path(model).resolve())  # the commands run elsewhere
    if model is None:
        for method in chain.from_iterable(in_order([args.method])):
            train(method, work_dir, threads)
        model = str(work_dir / args.method)
    options = [
        f'--num-images={args.num_images}',
        f'--num-candidates={args.num_candidates}',
        *([] if args.steps is None else [f'--steps={args.steps}']),
    ]
    folder = work_dir / 'edits' / '_'.join([name, *(option.strip('-').replace('=', '') for option in options)])
    scores = measure(model, folder, options, threads, again=args.model is not None)
    print(table(scores, 'README.md'))
    if args.write_docs:
        for page in HEADS:
            write_between(FOLDER / page, 'table', table(scores, page))
        for sheet in sorted((folder / 'sheets').iterdir()):
            (ROOT / 'docs' / 'images' / f'photo_patches_{sheet.name}').write_bytes(sheet.read_bytes())


if __name__ == '__main__':
    main()
