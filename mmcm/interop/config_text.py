"""The config that a checkpoint carries as text. It is read, never run: it comes with a file of someone else."""
import ast
from pathlib import Path
from typing import Any, Union


def config_text(path: Union[str, Path]) -> str:
    """Return the text of the config in a checkpoint, '' if there is none.

    Args:
        path (str | Path): A safetensors file written by `tools/publish_model.py` or `mmcm convert`, or a training
            checkpoint.

    Raises:
        InputError: If the file cannot be read.
    """
    from safetensors import safe_open

    from mmcm.utils.checkpoint_files import read_checkpoint

    content = read_checkpoint(path, mapped=True)  # its errors are those of a user's file
    if Path(path).suffix == '.safetensors':
        with safe_open(path, framework='pt') as file:
            return (file.metadata() or {}).get('config', '')
    meta = content.get('meta') if isinstance(content, dict) else None
    return str(meta.get('cfg', '')) if isinstance(meta, dict) else ''


def parse_config(text: str) -> dict[str, Any]:
    """Return the top-level settings of a config from its text; what is neither a literal nor `dict(...)` is None."""
    try:
        return {
            statement.targets[0].id: _value(statement.value) for statement in ast.parse(text).body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):  # the last two of a text that nests deep
        return {}


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        # MMEngine writes dict({'a key': ...}) where a key is no name.
        first = _value(node.args[0]) if node.args else {}
        return {**(first or {}), **{keyword.arg: _value(keyword.value) for keyword in node.keywords}}
    if isinstance(node, ast.Dict):
        return {key.value: _value(item) for key, item in zip(node.keys, node.values) if isinstance(key, ast.Constant)}
    if isinstance(node, (ast.List, ast.Tuple)):
        return (list if isinstance(node, ast.List) else tuple)(map(_value, node.elts))
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
