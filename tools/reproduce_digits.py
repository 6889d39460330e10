#!/usr/bin/env python
"""Train every method on the digits, measure them, and write the tables and images of the documentation.

Scores are those of the shipped classifier, of nine independent judges and of the sliced Wasserstein distance (see
`configs/digits/judges_1xb32_digits-8x8.py`). `--shipped` trains nothing and measures the models that come with mmcm.

Each step is a command of its own, printed before it runs. A step that has finished in the same work directory is not
repeated: the script goes on where it was stopped.
"""

import json
import os
import re
import statistics
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
from mmengine.config import Config

from mmcm.utils.system import usable_cores

ROOT = Path(__file__).resolve().parents[1]
METHODS = {  # method: the option for the checkpoint that it needs, and the method that makes it
    'edm': None,
    'cd': ('model.teacher.checkpoint', 'edm'),
    'pd': ('model.teacher.checkpoint', 'edm'),
    'scd': ('model.teacher.checkpoint', 'edm'),
    'ect': ('model.init_from', 'edm'),
    'tcm': ('model.init_from', 'ect'),
    'ct': None,
    'ict': None,
    'sct': ('model.init_from', 'edm'),
    'meanflow': None,
    'imf': None,
    'soflow': None,
    'shortcut': None,
    'edm2': None,
}
COLUMNS = {
    'frechet/distance': 'Fréchet distance',
    'label/accuracy': 'accuracy',
    'manifold/precision': 'precision',
    'manifold/recall': 'recall',
}
RESULTS = ROOT / 'docs' / 'results_digits.md'
JUDGES = 'configs/digits/judges_1xb32_digits-8x8.py'
JUDGE = re.compile(r'frechet_(\D+)(\d+)/distance')  # of an architecture and a seed
SHIPPED = {  # zoo name: its config, and the samplers that it is measured with
    'digits': ('configs/digits/cd-finetune_1xb64_digits-8x8.py', 'onestep,twostep'),
    'edm_digits': ('configs/digits/edm_1xb32_digits-8x8.py', 'config'),
}
TIMED = 300  # iterations by which the time of a training is estimated
printing = Lock()


def config_path(method: str) -> str:
    """Return the config of `method`, relative to the repository."""
    return f'configs/digits/{method}_1xb32_digits-8x8.py'


def read_config(method: str) -> Config:
    """Return the config of `method`."""
    return Config.fromfile(ROOT / config_path(method))


def run(command: Sequence[str], log: Path, threads: int) -> None:
    """Run a Python script of the repository, its output in `log`."""
    with printing:
        print('python', *command, flush=True)
    with log.open('w', encoding='utf-8') as file:
        result = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'OMP_NUM_THREADS': str(threads)},
            check=False,
        )
    if result.returncode:
        raise SystemExit(f'failed, see {log}:\n{log.read_text(encoding="utf-8")[-2000:]}')


def train(method: str, seed: int, folder: Path, threads: int) -> None:
    """Train `method`, unless its last checkpoint exists."""
    work_dir = folder / method
    if (work_dir / f'iter_{length_of(method)}.pth').exists():
        return
    work_dir.mkdir(parents=True, exist_ok=True)
    options = [f'randomness.seed={seed}', *teacher_options(method, folder)]
    if method == 'pd':  # each number of steps has its student: the checkpoint at the end of its stage
        curriculum = read_config('pd').model.objective.curriculum
        options += [
            f'default_hooks.checkpoint.interval={curriculum.stage_length}',
            'default_hooks.checkpoint.max_keep_ckpts=-1',
        ]
    command = ['tools/train.py', config_path(method), '--work-dir', str(work_dir), '--resume', '--cfg-options']
    run([*command, *options], work_dir / 'train.txt', threads)


def length_of(method: str) -> int:
    """Return the iterations of a training."""
    return read_config(method).train_cfg.max_iters


def teacher_options(method: str, folder: Path) -> list[str]:
    """Return the option that sets the checkpoint that `method` needs."""
    needed = METHODS[method]
    return [] if needed is None else [f'{needed[0]}={folder / needed[1]}']


def in_order(methods: Sequence[str]) -> list[list[str]]:
    """Return `methods` and those that they need, in groups: each needs methods of the groups before it alone."""
    groups: list[list[str]] = []
    for method in methods:
        chain = [method]
        while (needed := METHODS[chain[0]]) is not None:
            chain.insert(0, needed[1])
        for place, each in enumerate(chain):
            groups += [[]] if place == len(groups) else []
            groups[place] += [] if each in groups[place] else [each]
    return groups


def seconds_of(method: str, folder: Path) -> float:
    """Estimate the seconds of a training on all cores, from a separate run of its first iterations."""
    work_dir = folder.parent / 'timing' / method
    scalars = list(work_dir.glob('*/vis_data/scalars.json'))
    if not scalars:
        work_dir.mkdir(parents=True, exist_ok=True)
        command = [
            'tools/train.py',
            config_path(method),
            '--work-dir',
            str(work_dir),
            '--cfg-options',
            f'train_cfg.max_iters={TIMED}',
            'default_hooks.logger.interval=20',
            *teacher_options(method, folder),
        ]
        run(command, work_dir / 'train.txt', usable_cores())
        scalars = list(work_dir.glob('*/vis_data/scalars.json'))
    times = [json.loads(line)['time'] for line in scalars[0].read_text(encoding='utf-8').splitlines()]
    return length_of(method) * statistics.median(times)


def tests(method: str, work_dir: Path) -> dict[Path, tuple[Path, list[str]]]:
    """Return for each file of scores the checkpoint and the names of its samplers."""
    config = read_config(method)
    names = list(config.get('samplers', ['config']))
    if method != 'pd':
        return {work_dir / 'scores.json': (work_dir, names)}
    curriculum = config.model.objective.curriculum
    length, first = curriculum.stage_length, curriculum.start_steps
    ends = {4: first.bit_length() - 2, 2: first.bit_length(), 1: first.bit_length() + 2}  # stages, by the steps after
    return {
        work_dir / f'scores_{name}.json': (work_dir / f'iter_{length * ends[sampler.num_steps]}.pth', [name])
        for name, sampler in config.samplers.items()
    }


def measure(method: str, folder: Path, threads: int) -> None:
    """Measure `method` with each of its samplers, and write a grid of ten images per class."""
    work_dir = folder / method
    for scores, (checkpoint, names) in tests(method, work_dir).items():
        if not (scores.exists() and images_of(scores).exists()):
            command = [
                'tools/test.py',
                config_path(method),
                str(checkpoint),
                '--work-dir',
                str(work_dir / 'test'),
                '--samplers',
                ','.join(names),
                '--out',
                str(scores),
                '--out-dir',
                str(images_of(scores)),
                '--force',
            ]
            run(command, scores.with_suffix('.txt'), threads)
        judge([images_of(scores) / f'{name}.npz' for name in names], judged_of(scores), threads)
    sheet = work_dir / 'sheet.png'
    if not sheet.exists():
        run(
            [
                'demo/mmagic_inference_demo.py',
                '--model-name',
                'consistency_models',
                '--model-config',
                config_path(method),
                '--model-ckpt',
                str(work_dir),
                '--label',
                *(str(label) for label in range(10) for _ in range(10)),
                '--result-out-dir',
                str(sheet),
                '--extra-parameters',
                'columns=10',
            ],
            work_dir / 'sheet.txt',
            threads,
        )


def images_of(scores: Path) -> Path:
    """Return the folder of the images that belong to a file of scores."""
    return scores.with_name(scores.stem.replace('scores', 'drawn'))


def judged_of(scores: Path) -> Path:
    """Return the file of the scores by judges that belongs to a file of scores."""
    return scores.with_name(scores.name.replace('scores', 'judged'))


def judge(samples: Sequence[Path], out: Path, threads: int, options: Sequence[str] = ()) -> None:
    """Let the judges measure files of images, unless `out` exists."""
    if not out.exists():
        run(
            [
                'tools/test.py',
                JUDGES,
                '--samples',
                *map(str, samples),
                '--work-dir',
                str(out.parent / 'judges'),
                '--out',
                str(out),
                '--force',
                *options,
            ],
            out.with_suffix('.txt'),
            threads,
        )


def read_judged(path: Path) -> dict[str, dict[str, float]]:
    """Return the scores by judges, by the name of the file of images."""
    scores = json.loads(path.read_text(encoding='utf-8'))['scores']
    return {Path(score['sampler']).stem: score['metrics'] for score in scores}


def judge_halves(work_dir: Path, threads: int) -> dict[str, float]:
    """Return the scores by judges of the even half of the real digits, against the odd half."""
    from mmcm.registry import DATASETS  # torch takes seconds

    half = DATASETS.build(dict(type='DigitsDataset', split='train'))
    images = np.stack([half[index]['inputs'].permute(1, 2, 0).numpy() for index in range(len(half))])
    samples = work_dir / 'even_half.npz'
    np.savez(samples, images, half.labels)
    out = work_dir / 'even_half.json'
    judge([samples], out, threads, ['--cfg-options', 'test_evaluator.reference.split=test'])
    return read_judged(out)[samples.stem]


def judge_columns(metrics: dict[str, float], halves: dict[str, float]) -> list[str]:
    """Return the cells of a table: sliced Wasserstein distance; median and range of all judges, and of each kind.

    A judge's value is the Fréchet distance in its features, divided by that between the halves of the real digits.
    """
    ratios = {}
    for key, value in metrics.items():
        found = JUDGE.fullmatch(key)
        if found:
            ratios.setdefault(found[1], []).append(value / halves[key])
    groups = [[ratio for group in ratios.values() for ratio in group], *ratios.values()]
    return [
        f'{metrics["sliced_wasserstein/distance"]:.4f}',
        *(f'{statistics.median(group):.2f} ({min(group):.2f} to {max(group):.2f})' for group in groups),
    ]


def judge_table(rows: Sequence[tuple[str, int | None, dict[str, float]]], halves: dict[str, float]) -> str:
    """Return the table of the scores by judges, in Markdown.

    Args:
        rows (Sequence[tuple]): For each row its name, the NFE and the scores by judges.
        halves (dict): Scores by judges of the halves of the real digits.
    """
    kinds = list(dict.fromkeys(found[1] for key in halves if (found := JUDGE.fullmatch(key))))
    header = ['Images', 'NFE', 'sliced Wasserstein', 'nine judges', *kinds]
    lines = ['| ' + ' | '.join(header) + ' |', '| :-- |' + ' --: |' * (len(header) - 1)]
    for name, calls, metrics in [('real half against real half', None, halves), *rows]:
        cells = [name, '' if calls is None else str(calls), *judge_columns(metrics, halves)]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def judged_rows(method: str, folders: Sequence[Path]) -> list[tuple[str, int | None, dict[str, float]]]:
    """Return the rows of `judge_table` of a method: means over the trainings in `folders`."""
    rows = []
    for scores in tests(method, folders[0] / method):
        judged = [read_judged(judged_of(folder / method / scores.name)) for folder in folders]
        calls = {score['sampler']: score['network_calls'] for score in json.loads(scores.read_text())['scores']}
        for name in judged[0]:
            means = {key: statistics.mean(found[name][key] for found in judged) for key in judged[0][name]}
            rows.append((f'`{method}`', calls[name], means))
    return sorted(rows, key=lambda row: row[1])


def measure_shipped(work_dir: Path, threads: int) -> list[tuple[str, int | None, dict[str, float]]]:
    """Return the rows of `judge_table` of the shipped models."""
    rows = []
    for name, (config, samplers) in SHIPPED.items():
        scores, drawn = work_dir / f'{name}.json', work_dir / name
        if not scores.exists():
            run(
                [
                    'tools/test.py',
                    config,
                    name,
                    '--samplers',
                    samplers,
                    '--work-dir',
                    str(work_dir / 'test'),
                    '--out',
                    str(scores),
                    '--out-dir',
                    str(drawn),
                    '--force',
                ],
                scores.with_suffix('.txt'),
                threads,
            )
        found = json.loads(scores.read_text())['scores']
        judge([drawn / f'{score["sampler"]}.npz' for score in found], work_dir / f'{name}_judged.json', threads)
        judged = read_judged(work_dir / f'{name}_judged.json')
        rows += [(f'`{name}`, as shipped', score['network_calls'], judged[score['sampler']]) for score in found]
    return rows


def read_scores(method: str, work_dir: Path) -> dict[str, dict]:
    """Return the scores of each sampler of `method`, by its name, the smallest NFE first."""
    scores = [
        score for path in tests(method, work_dir) for score in json.loads(path.read_text(encoding='utf-8'))['scores']
    ]
    return {score['sampler']: score for score in sorted(scores, key=lambda score: score['network_calls'])}


def train_and_measure(method: str, folder: Path, threads: int) -> None:
    """Train and measure `method`: all that its rows of the tables need."""
    train(method, int(folder.name.removeprefix('seed')), folder, threads)
    measure(method, folder, threads)


def table(work_dir: Path, seeds: Sequence[int], methods: Sequence[str]) -> str:
    """Return the table of means, with ranges over several seeds, in Markdown."""
    lines = [
        '| Method | NFE | ' + ' | '.join(COLUMNS.values()) + ' | training |',
        '| :-- | --: |' + ' --: |' * (len(COLUMNS) + 1),
    ]
    for method in methods:
        folders = [work_dir / f'seed{seed}' / method for seed in seeds]
        seconds = seconds_of(method, folders[0].parent)
        scores = [read_scores(method, folder) for folder in folders]
        for name in scores[0]:
            cells = [spread([score[name]['metrics'][key] for score in scores]) for key in COLUMNS]
            calls = scores[0][name]['network_calls']
            lines.append(f'| `{method}` | {calls} | ' + ' | '.join(cells) + f' | {seconds:.0f} s |')
    return '\n'.join(lines)


def spread(values: Sequence[float]) -> str:
    """Return the mean of `values` and their range."""
    digits = 3
    text = f'{statistics.mean(values):.{digits}f}'
    return text if len(values) == 1 else f'{text} ({min(values):.{digits}f} to {max(values):.{digits}f})'


def write_between(path: Path, name: str, content: str) -> None:
    """Replace the text between the comments `name begins` and `name ends` in a Markdown file."""
    begin, end = f'<!-- {name} begins -->', f'<!-- {name} ends -->'
    text = path.read_text(encoding='utf-8')
    found = re.search(f'{re.escape(begin)}.*?{re.escape(end)}', text, re.DOTALL)
    if not found:
        raise SystemExit(f'{path} has no place for the table: it needs {begin} and {end}.')
    path.write_text(text.replace(found[0], f'{begin}\n{content}\n{end}'), encoding='utf-8')


def with_kept_rows(name: str, table: str) -> str:
    """Return `table` with the rows that the page has of other methods, all in the order of `METHODS`."""
    content = RESULTS.read_text(encoding='utf-8')
    old = content.split(f'<!-- {name} begins -->')[1].split(f'<!-- {name} ends -->')[0]
    rows: dict[str, list[str]] = {}
    for lines in (table.splitlines(), old.splitlines()):
        found: dict[str, list[str]] = {}
        for line in lines:
            if row := re.match(r'\| `(\w+)` \|', line):
                found.setdefault(row[1], []).append(line)
        rows = {**found, **rows}
    head = [line for line in table.splitlines() if not re.match(r'\| `\w+` \|', line)]
    return '\n'.join([*head, *(line for method in METHODS for line in rows.get(method, []))])


def main() -> None:
    """Run the script."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='of the trainings')
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=list(METHODS))
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce_digits'))
    parser.add_argument('--jobs', type=int, default=1, help='trainings at a time, which share the cores')
    parser.add_argument('--shipped', action='store_true', help='train nothing: measure the models that come with mmcm')
    parser.add_argument(
        '--write-docs', action='store_true', help='write tables and images into docs/; rows of other methods stay'
    )
    args = parser.parse_args()

    work_dir = args.work_dir.resolve()
    threads = max(usable_cores() // args.jobs, 1)
    work_dir.mkdir(parents=True, exist_ok=True)
    halves = judge_halves(work_dir, threads)
    shipped = judge_table(measure_shipped(work_dir, threads), halves)
    print(shipped)
    if args.write_docs:
        write_between(RESULTS, 'shipped', shipped)
    if args.shipped:
        return
    folders = [work_dir / f'seed{seed}' for seed in args.seeds]
    with ThreadPoolExecutor(args.jobs) as pool:
        for methods in in_order(args.methods):
            rows = [(method, folder) for folder in folders for method in methods]
            list(pool.map(lambda row: train_and_measure(*row, threads), rows))
    result = table(work_dir, args.seeds, args.methods)
    judged = judge_table([row for method in args.methods for row in judged_rows(method, folders)], halves)
    print(result, judged, sep='\n\n')
    if args.write_docs:
        write_between(RESULTS, 'table', with_kept_rows('table', result))
        write_between(RESULTS, 'judges', with_kept_rows('judges', judged))
        for method in args.methods:
            sheet = (work_dir / f'seed{args.seeds[0]}' / method / 'sheet.png').read_bytes()
            (ROOT / 'docs' / 'images' / f'digits_{method}.png').write_bytes(sheet)


if __name__ == '__main__':
    main()
