#!/usr/bin/env python
"""Render the emoji of free icon sets as PNG files, one folder per class: a data set of small colour images.

The sets are npm packages in Iconify's format; the classes follow from the names that Unicode gives the emoji:

    npm install @iconify-json/{twemoji,noto,noto-v1,fluent-emoji-flat,fluent-emoji,emojione}
    pip install resvg-py
    python tools/dataset_converters/emoji.py node_modules --out data/emoji
    mmcm pack data/emoji --out data/emoji.npz

A run that was stopped goes on when the same command is given again: files that exist are kept.
"""

import json
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from mmcm.utils.bounded import Unreadable, read_file
from mmcm.utils.errors import InputError
from mmcm.utils.files import write_bytes

NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
MAX_BYTES = 2**28  # of a set: the largest, fluent-emoji, has 104 MB
# Sets whose licences ask at most to name the authors. OpenMoji and EmojiOne 1 (CC BY-SA) are none of them.
SETS = {
    'twemoji': 'CC-BY-4.0',
    'noto': 'Apache-2.0',
    'noto-v1': 'Apache-2.0',
    'fluent-emoji-flat': 'MIT',
    'fluent-emoji': 'MIT',
    'emojione': 'CC-BY-4.0',
}
ANIMALS = 'bear|cat|cow|dog|dragon|fox|frog|hamster|horse|koala|lion|monkey|mouse|panda|pig|rabbit|tiger|unicorn|wolf'
HOURS = 'one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve'
COLOURS = 'black|blue|brown|green|grey|light-blue|orange|pink|purple|red|white|yellow'
SKIN = '(-(light|medium-light|medium|medium-dark|dark)(-skin-tone)?)?'  # behind the name of a hand
# Class: a pattern for the names of Unicode that belong to it, with hyphens.
CLASSES = {
    'animal': rf'({ANIMALS})-face|bear|fox|frog|hamster|koala|lion|panda|raccoon|unicorn|wolf'
    '|[a-z-]+-cat(-face)?(-with-[a-z-]+)?|cat(-face)?-with-[a-z-]+',
    'clock': rf'({HOURS})-(oclock|thirty)',
    'face': rf'(?!({ANIMALS}|[a-z-]*-cat|[a-z-]*moon|sun|clown|robot|person|man|woman)-)([a-z]+-)*face(-[a-z]+)*',
    'flag': r'flag-(?!in-hole).+',
    'flower': 'blossom|cherry-blossom|daisy|hibiscus|hyacinth|lotus|rose|rosette|sunflower|tulip|wilted-flower',
    'fruit': 'banana|blueberries|cherries|grapes|green-apple|kiwi-fruit|lemon|lime|mango|melon|olive|peach|pear'
    '|pineapple|red-apple|strawberry|tangerine|tomato|watermelon',
    'hand': '(backhand-index-pointing-(up|down|left|right)|call-me-hand|crossed-fingers|hand-with-fingers-splayed'
    '|index-pointing-(up|at-the-viewer)'
    '|(left|right)-facing-fist|(left|right)wards-(pushing-)?hand|love-you-gesture|ok-hand|oncoming-fist'
    '|palm-(up|down)-hand|pinched-fingers|pinching-hand|raised-(back-of-)?(hand|fist)|sign-of-the-horns'
    '|thumbs-(up|down)|victory-hand|vulcan-salute|waving-hand)' + SKIN,
    'heart': rf'(beating|broken|growing|mending|sparkling|{COLOURS})-heart|heart-(suit|with-ribbon|with-arrow|on-fire)',
    'moon': 'crescent-moon|(new|full|(first|last)-quarter|(waxing|waning)-(crescent|gibbous))-moon(-face)?',
    'vehicle': 'ambulance|articulated-lorry|(oncoming-)?(automobile|bus|police-car|taxi)|delivery-truck|fire-engine'
    '|minibus|pickup-truck|racing-car|sport-utility-vehicle|tractor|trolleybus',
}


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('packages', type=Path, help='the folder node_modules into which npm installed the sets')
    parser.add_argument('--out', type=Path, required=True, help='folder for the images')
    parser.add_argument(
        '--most',
        type=int,
        default=300,
        metavar='N',
        help='images per class, evenly from the sorted list of all, so that no class outweighs others; '
        'default: %(default)s',
    )
    parser.add_argument('--size', type=int, default=32, help='height and width in pixels; default: %(default)s')
    parser.add_argument(
        '--sets', nargs='+', choices=list(SETS), metavar='SET', help=f'of {", ".join(SETS)}; default: those installed'
    )
    args = parser.parse_args(argv)
    try:
        sets = args.sets or installed(args.packages)
        counts = convert(args.packages, args.out, sets, args.size, args.most)
    except InputError as error:
        parser.exit(2, f'{parser.prog}: {error}\n')
    print(f'{sum(counts.values())} images in {args.out}:', ', '.join(f'{key} {counts[key]}' for key in counts))
    print('licences to name where you pass them on:', ', '.join(f'{name} ({SETS[name]})' for name in sets))


def installed(packages: Path) -> list[str]:
    """Return the sets in `packages`; raise an InputError if there is none."""
    found = [name for name in SETS if (packages / '@iconify-json' / name).is_dir()]
    if not found:
        wanted = ' '.join(f'@iconify-json/{name}' for name in SETS)
        raise InputError(f'{packages} has none of the sets of emoji: npm install {wanted}')
    return found


def convert(packages: Path, out: Path, sets: list[str], size: int = 32, most: int = 300) -> dict[str, int]:
    """Render at most `most` emoji per class of `sets`, and return the numbers of images.

    Raises:
        InputError: If a package is missing or damaged, or resvg-py is not installed.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise InputError('the images are rendered by resvg-py, which is not installed: pip install resvg-py') from error
    icons: dict[str, list[tuple[str, str]]] = {label: [] for label in CLASSES}
    for name in sets:
        for label, icon, svg in read_icons(packages, name):
            icons[label].append((f'{name}_{icon}.png', svg))
    chosen = {label: evenly(drawings, most) for label, drawings in icons.items()}
    for label, drawings in chosen.items():
        for file_name, svg in drawings:
            path = out / label / file_name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    pixels = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
                except ValueError as error:
                    raise InputError(f'{file_name} cannot be rendered: {error}') from error
                write_bytes(path, bytes(pixels))
    return {label: len(drawings) for label, drawings in chosen.items()}


def evenly(items: list, most: int) -> list:
    """Return at most `most` of `items`, evenly spread."""
    return items if len(items) <= most else [items[index * len(items) // most] for index in range(most)]


def read_icons(packages: Path, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield class, name and SVG of each emoji of the set `name` that has a class, in the order of the names."""
    content = read_package(packages / '@iconify-json' / name / 'icons.json')
    for icon, drawing in sorted(content['icons'].items()):
        label = class_of(icon)
        if label is not None:
            width, height = (drawing.get(side, content.get(side, 16)) for side in ('width', 'height'))
            box = f'{drawing.get("left", 0)} {drawing.get("top", 0)} {width} {height}'
            # The square of one unit is scaled to the size of the image; drawings that are no square are centred in it.
            yield label, icon, f'<svg {NAMESPACES} width="1" height="1" viewBox="{escape(box)}">{drawing["body"]}</svg>'


def class_of(icon: str) -> str | None:
    """Return the class of an emoji by its name, or None."""
    return next((label for label, pattern in CLASSES.items() if re.fullmatch(pattern, icon)), None)


def read_package(path: Path) -> Any:
    """Return the content of a JSON file of a package; raise an InputError if it cannot be read."""
    try:
        return json.loads(read_file(path, MAX_BYTES))
    except (OSError, Unreadable, ValueError) as error:
        raise InputError(f'{path} cannot be read: {error}. npm install @iconify-json/{path.parent.name}') from error


if __name__ == '__main__':
    main()
