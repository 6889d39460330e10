"""`mmcm zoo`: list the released models, and which of their files are on this machine."""

import json
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcm.checkpoints import addresses, cached_place, recorded_sha256
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.wording import counted
from mmcm.zoo import ZooModel, find, list_models, root

SHORT = {'Frechet distance': 'FD', 'Colorization PSNR': 'PSNR'}  # in the table
COLUMNS = ('model', 'method', 'data', 'px', 'labels', 'MB', 'terms', 'here', 'score (NFE)')
NUMBERS = ('px', 'labels', 'MB')


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'List the models of the zoo, or describe one of them.', prog, ('', 'cd_imagenet64_lpips', '--json')
    )
    parser.add_argument('name', nargs='?', help='a model; all of them if left out')
    parser.add_argument('--json', action='store_true', help='print JSON, for programs')
    parser.add_cache_dir()
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    models = [find(args.name)] if args.name else list_models()
    entries = [describe(model, args.cache_dir) for model in models]
    if args.json:
        print(json.dumps(entries[0] if args.name else entries, indent=2, default=dict))  # of read-only mappings
    elif args.name:
        print(page(entries[0]))
    else:
        print(table(entries))


def describe(model: ZooModel, cache_dir: str | None = None) -> dict[str, Any]:
    """Return the entry of a model and the state of its file on this machine, for JSON.

    Returns:
        dict: The fields of `ZooModel`, `config` and `card` being absolute paths, with `addresses` in the order in which
        they are tried, `path` of the file, `state` ('packaged', 'cached', 'partial' or 'absent'; None without weights),
        `bytes` that are there, and `recorded_sha256` of the download.
    """
    path = cached_place(model, cache_dir)
    state, size = None, None
    if path is not None:
        part = path.with_name(path.name + '.part')
        there = path if path.is_file() else part
        state = 'absent'
        if there.is_file():
            size = there.stat().st_size
            state = 'partial' if there == part else 'cached' if addresses(model) else 'packaged'
    return dict(
        vars(model),
        # Calls is the name of NFE in former releases.
        results=[{**result, 'Calls': result['NFE']} if 'NFE' in result else result for result in model.results],
        config=str(root() / model.config),
        card=model.card and str(root() / model.card),
        addresses=addresses(model),
        path=path and str(path),
        state=state,
        bytes=size,
        recorded_sha256=path and recorded_sha256(path),
    )


def table(entries: Sequence[dict[str, Any]]) -> str:
    """Return a table of all models, with notes below it."""
    rows = [COLUMNS, *map(_row, entries)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        '  '.join(
            cell.rjust(width) if name in NUMBERS else cell.ljust(width)
            for name, cell, width in zip(COLUMNS, row, widths)
        ).rstrip()
        for row in rows
    ]
    cached = [entry['bytes'] for entry in entries if entry['state'] == 'cached']
    folders = sorted({str(Path(entry['path']).parent) for entry in entries if entry['addresses']})
    notes = [f'{", ".join(folders)}: {len(cached)} files, {_megabytes(sum(cached))} MB'] if folders else []
    notes += [
        'Scores are those of the model cards; FD, in the features of a classifier of digits, is no FID.',
        'mmcm zoo NAME says more, mmcm download NAME fetches the file.',
    ]
    return '\n'.join([*lines, '', *notes])


def page(entry: dict[str, Any]) -> str:
    """Return all about one model."""
    if entry['state'] in ('cached', 'packaged'):
        where = f'{entry["path"]}, {_megabytes(entry["bytes"])} MB'
    elif entry['state'] == 'partial':
        where = f'{entry["path"]}.part, {_megabytes(entry["bytes"])} MB so far: mmcm download {entry["name"]} goes on'
    else:
        where = f'not here: mmcm download {entry["name"]} puts it at {entry["path"]}'
    sampler = entry['sampler']
    classes = f', {entry["num_classes"]} classes' if entry['num_classes'] else ', no classes'
    fields = [
        ('method', f'{entry["method"]} ({entry["collection"]})'),
        ('data', f'{entry["dataset"]}, {entry["resolution"]} x {entry["resolution"]} pixels{classes}'),
        ('network', entry['parameters'] and f'{entry["parameters"] / 1e6:.1f} million parameters'),
        ('config', entry['config']),
        *(('address', address) for address in entry['addresses']),
        ('SHA-256', entry['sha256'] or (entry['recorded_sha256'] and f'{entry["recorded_sha256"]} (as downloaded)')),
        ('two steps', sampler and f'indices {sampler["indices"]} of {sampler["num_scales"]} levels'),
        *(
            ('scores', f'{counted(result["NFE"], "network evaluation")}: {_metrics(result)}')
            for result in entry['results']
            if result['Metrics']
        ),
        ('source', entry['source']),
        ('trained', entry['released'] and f'the model {entry["released"]}'),
        ('card', entry['card']),
        ('licence', entry['license'] and license_text(entry['license'])),
        ('file', where if entry['path'] else 'none: train it with the config'),
        *(('next', line) for line in next_commands(entry)),
    ]
    return '\n'.join([entry['name'], *(f'  {name:9}  {value}' for name, value in fields if value)])


def license_text(license: str) -> str:
    """Return a licence with what it excludes."""
    return f'{license}, no commercial use' if 'NC' in license.split('-') else license


def next_commands(entry: dict[str, Any]) -> list[str]:
    """Return what one would type next: to sample and measure a model, and to convert it or, of a recipe, to train."""
    name, config = entry['name'], Path(entry['config']).stem
    if entry['path'] is None:
        run = f'work_dirs/{config}'
        return [
            f'mmcm train {config}',
            f'mmcm sample --model {run} --out outputs/{config}.png',
            f'mmcm test {config} {run} --out scores.json',
        ]
    return [
        f'mmcm sample --model {name} --out outputs/{name}.png',
        f'mmcm test {config} {name} --out scores.json',
        f'mmcm convert {name} {name}.safetensors',
    ]


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    scores = [
        (name, value, result['NFE'])
        for result in entry['results']
        for name, value in list(result['Metrics'].items())[:1]
    ]
    name = SHORT.get(scores[0][0], scores[0][0]) if scores else '-'
    score = ' '.join([name, ', '.join(f'{value} ({nfe})' for _, value, nfe in scores)]).rstrip()
    size = '-' if entry['bytes'] is None or entry['state'] == 'partial' else _megabytes(entry['bytes'])
    here = {'absent': '-', 'packaged': 'yes', 'cached': 'yes', 'partial': 'partly', None: 'recipe'}[entry['state']]
    known = (entry['method'], entry['dataset'], entry['resolution'], entry['num_classes'])
    license = re.sub(r'^CC-BY-|-[\d.]+$', '', entry['license'] or '-')
    return (entry['name'], *('-' if value is None else str(value) for value in known), size, license, here, score)


def _megabytes(size: int) -> str:
    return f'{size / 1e6:.1f}' if size < 10e6 else f'{size / 1e6:.0f}'


def _metrics(result: Mapping[str, Any]) -> str:
    return ', '.join(f'{name} {value}' for name, value in result['Metrics'].items())
