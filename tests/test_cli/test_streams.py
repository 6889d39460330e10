import io
import os
import subprocess
import sys

import pytest

from mmcm.cli import streams

NAME = 'Ärger \u65e5\u672c \u2501 \udce9'  # characters, a bar, and a byte of a name
PRINTING = (
    'import sys\nfrom mmcm.cli.errors import command\nfrom mmcm.utils.errors import InputError\n'
    '@command\ndef main():\n    print(ascii(sys.stdout is None), {name})\n'
    '    if sys.argv[1:]: raise InputError({name})\nmain()'
)


def printing(name):
    """Return code that prints a name; the code itself has no character that an encoding lacks."""
    return PRINTING.format(name=ascii(name))


def run(code, redirection='', argument='', **environment):
    """Run code through a shell, which redirects its streams."""
    return subprocess.run(
        ['sh', '-c', f'exec "$0" -c "$1" {argument} {redirection}', sys.executable, code],
        capture_output=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    'settings, expected',
    [
        (dict(PYTHONIOENCODING='latin-1'), b'\xc4rger \\u65e5\\u672c \\u2501 \\udce9'),
        (dict(PYTHONIOENCODING='ascii'), b'\\xc4rger \\u65e5\\u672c \\u2501 \\udce9'),
        (dict(PYTHONIOENCODING='cp1252'), b'\xc4rger \\u65e5\\u672c \\u2501 \\udce9'),
        (dict(PYTHONIOENCODING='utf-8'), 'Ärger 日本 ━ '.encode() + b'\\udce9'),
    ],
)
def test_any_encoding_takes_any_name(settings, expected):
    done = run(printing(NAME), argument='fail', **settings)
    assert done.stdout == b'False ' + expected + b'\n'
    assert done.returncode == 2 and b'UnicodeEncodeError' not in done.stderr and done.stderr.startswith(b'error: ')


def test_c_locale_keeps_the_bytes_of_names():
    posix = dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')
    assert run(printing('caf\udce9'), **posix).stdout == b'False caf\xe9\n'
    assert run(printing('日本'), **posix).stdout == b'False \\u65e5\\u672c\n'


@pytest.mark.parametrize('redirection', ['>&-', '2>&-', '>&- 2>&-', '<&- >&- 2>&-'])
@pytest.mark.parametrize('argument, code', [('', 0), ('fail', 2)])
def test_closed_streams_are_nothing(redirection, argument, code):
    done = run(printing('x'), redirection, argument)
    assert done.returncode == code
    assert done.stderr == (b'error: x\n' if code and '2>&-' not in redirection else b'')
    assert done.stdout == (b'' if '>&-' in redirection.replace('2>&-', '') else b'False x\n')


def test_next_file_is_not_taken_for_a_closed_stream(tmp_path):
    code = (
        'import os\nfrom mmcm.cli.errors import command\n@command\ndef main():\n'
        f'    with open({str(tmp_path / "x")!r}, "w") as file:\n        os.write(1, b"noise")\nmain()'
    )
    assert run(code, '>&- 2>&-').returncode == 0
    assert (tmp_path / 'x').read_bytes() == b''


def test_streams_of_a_notebook_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, 'stdout', io.StringIO())
    streams.make_usable()
    assert streams.abandoned() == []


@pytest.mark.parametrize('closed', ['stdout', 'stderr'])
def test_command_whose_output_nobody_reads_ends_quietly(closed):
    code = (
        'import sys\nfrom mmcm.cli.errors import command\n@command\ndef main():\n    while True:\n'
        f'        print("x" * 100, file=sys.{closed})\nmain()'
    )
    with subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        getattr(process, closed).read(1000)
        getattr(process, closed).close()
        other = process.stderr if closed == 'stdout' else process.stdout
        assert other.read() == b''
    assert process.returncode == 141
