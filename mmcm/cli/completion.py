"""Completion of command lines by bash and zsh, through argcomplete (the extra `completion`).

After `eval "$(register-python-argcomplete mmcm)"`, the shell runs `mmcm` for each completion, with `_ARGCOMPLETE` set
and the typed text in `COMP_LINE`.
"""

import os
from argparse import Action, ArgumentParser
from collections.abc import Iterable
from typing import Any

ASKED = '_ARGCOMPLETE'  # 1: words count from the name of the program; 2: from its second word


def complete(parser: ArgumentParser) -> None:
    """Complete for the shell and end the process if it was started for that; otherwise do nothing."""
    if ASKED in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


def asked_command(names: Iterable[str]) -> str | None:
    """Return the command, one of `names`, whose arguments are to be completed; None if it is the command itself.

    From then on, words count from that of the command.
    """
    words = os.environ.get('COMP_LINE', '').split()
    if len(words) < 2 or words[1] not in names or os.environ.get('COMP_LINE', '').endswith(f' {words[1]}'):
        return None
    os.environ[ASKED] = '2'
    return words[1]


def with_models(action: Action) -> Action:
    """Complete the value of `action` to names of the zoo, files and folders."""
    return _completed(action, lambda: [model.name for model in _zoo().list_models()])


def with_configs(action: Action) -> Action:
    """Complete the value of `action` to names of our configs, files and folders."""
    return _completed(action, lambda: [path.stem for path in _zoo().list_configs()])


def _completed(action: Action, names: Any) -> Action:
    def completer(prefix: str, **about: Any) -> list[str]:
        from argcomplete.completers import FilesCompleter

        return [name for name in names() if name.startswith(prefix)] + list(FilesCompleter()(prefix))

    action.completer = completer  # type: ignore[attr-defined]  # which argcomplete reads
    return action


def _zoo() -> Any:
    from mmcm import zoo

    return zoo
