#!/usr/bin/env python
"""Write the table of networks of `mmcm new` into docs/own_pictures.md."""

import re
from pathlib import Path

import mmcm.backbones  # noqa: F401 (registers them)
from mmcm.apis.new.networks import table_lines
from mmcm.utils.files import write_bytes

PAGE = Path(__file__).parents[1] / 'docs' / 'own_pictures.md'
BLOCK = re.compile('(<!-- networks begin -->\n).*?(<!-- networks end -->)', re.DOTALL)


def main() -> None:
    """Replace the table."""
    table = '\n'.join(table_lines()) + '\n'
    text = BLOCK.sub(lambda found: found[1] + table + found[2], PAGE.read_text(encoding='utf-8'))
    write_bytes(PAGE, text.encode())


if __name__ == '__main__':
    main()
