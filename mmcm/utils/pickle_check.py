"""Static check of a pickle: its opcodes are followed before anything runs them.

A pickle is a program. torch's restricted unpickler and ours call only known functions, but a program can still nest
tuples until hashing them overflows the stack, address a memo entry that takes gigabytes, or request storages that are
larger than the file. `check_pickle` follows the program without making its objects: it limits their number and depth,
and returns what the program names, calls and expects beside it.
"""

import pickletools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

from mmcm.utils.bounded import MAX_DEPTH, Unreadable

MAX_OPCODES = 10**6  # a checkpoint has 25 for each tensor, CIFAR-100 up to 700 000
MAX_EXPANDED = 10**7  # values; one that is used twice counts twice, as it does when compared or printed
MAX_INTEGER_BYTES = 64
SHORT = 256  # bytes of strings that are inspected, as names and keys are; longer ones are values

CONSTANTS = dict(NONE=None, NEWTRUE=True, NEWFALSE=False)
NUMBERS = frozenset(('INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT'))
STRINGS = frozenset(
    (
        'STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES '
        'BINBYTES8'
    ).split()
)
EMPTY = dict(EMPTY_LIST='list', EMPTY_DICT='dict', EMPTY_TUPLE='tuple', EMPTY_SET='set')
FROM_MARK = dict(TUPLE='tuple', LIST='list', DICT='dict')
FROM_TOP = dict(TUPLE1=1, TUPLE2=2, TUPLE3=3)
PUTS, GETS = frozenset(('PUT', 'BINPUT', 'LONG_BINPUT')), frozenset(('GET', 'BINGET', 'LONG_BINGET'))
PLAIN = (type(None), bool, int, float, str, bytes)
MARK = object()


class Node:
    """A value that a pickle makes, other than a plain one.

    Attributes:
        kind (str): 'list', 'dict', 'tuple', 'set', 'global', 'call' or 'persistent'.
        items (list): Its items; of a dictionary, keys and values; of a call, the function and its arguments.
        name (str): Of a global, `module.name`.
    """

    __slots__ = ('items', 'kind', 'levels', 'name')

    def __init__(self, kind: str, items: list, name: str = '') -> None:
        self.kind, self.items, self.name = kind, items, name
        # As it is made; a list may become deeper, which `check_depth` finds.
        self.levels: int = 1 + max((item.levels for item in items if isinstance(item, Node)), default=0)


class Long:
    """A string that is too long to be a name."""


def is_plain(value: Any) -> bool:
    """Return whether a value holds no others, so that hashing it is cheap."""
    if isinstance(value, Node):
        # Bytes, in protocols below 3, and what is imported.
        return value.kind == 'global' or (value.kind == 'call' and value.items[0].name == '_codecs.encode')
    return isinstance(value, (*PLAIN, Long))


class ForeignName(Unreadable):
    """A pickle names a function or class that it may not use."""


class Pickled(NamedTuple):
    """Result of following a pickle.

    Attributes:
        value (Any): The value that it makes, a `Node` unless it is plain.
        persistent (list[Node]): Objects that it expects beside it, see pickle's persistent ids.
    """

    value: Any
    persistent: list[Node]


Check = Callable[[list], str | None]  # maps the arguments of a call to the fault in them, or None


def check_pickle(
    stream: BinaryIO,
    callables: Mapping[str, Check | None],
    names: Callable[[str], bool],
    states: Mapping[str, Check | None],
) -> Pickled:
    """Follow the pickle at the position of `stream`, and leave the stream after its end.

    Args:
        stream (BinaryIO): The stream; reading more than there is has to end with the data.
        callables (Mapping): Functions that it may call, by `module.name`, each with a check of the arguments, or None.
        names (Callable): Whether it may name something without calling it.
        states (Mapping): Functions whose results it may give a state, each with a check of `[state]`, or None.

    Raises:
        ForeignName: If it names anything else.
        Unreadable: If it is damaged, too long or too deep.
    """
    follower = _Follower(callables, names, states)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of escapes in the texts of a file, which would be errors under -W error
            for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if number == MAX_OPCODES:
                    raise Unreadable(f'its pickle has more than {MAX_OPCODES} opcodes')
                follower.step(opcode.name, argument)
    except Unreadable:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, MemoryError, OverflowError) as error:
        raise Unreadable(f'its pickle is damaged ({" ".join(str(error).split()) or type(error).__name__})') from error
    check_depth(follower.nodes)
    return Pickled(follower.stack[-1], follower.persistent)


def check_depth(nodes: list[Node]) -> None:
    """Raise Unreadable if any of `nodes` holds itself, or too many values or levels."""
    measured: dict[int, tuple[int, int]] = {}  # depth and number of values; (0, 0) while it is being measured
    for root in nodes:
        if id(root) in measured:
            continue
        path = [(root, iter(root.items))]
        measured[id(root)] = (0, 0)
        while path:
            node, rest = path[-1]
            for item in rest:
                if not isinstance(item, Node):
                    continue
                known = measured.get(id(item))
                if known == (0, 0):
                    raise Unreadable('its pickle has a container that holds itself')
                if known is None:
                    if len(path) > MAX_DEPTH:
                        raise Unreadable(f'its pickle nests more than {MAX_DEPTH} deep')
                    measured[id(item)] = (0, 0)
                    path.append((item, iter(item.items)))
                    break
            else:
                path.pop()
                inner = [measured[id(item)] for item in node.items if isinstance(item, Node)]
                depth = 1 + max((depth for depth, _ in inner), default=0)
                total = 1 + len(node.items) + sum(total for _, total in inner)
                if depth > MAX_DEPTH:
                    raise Unreadable(f'its pickle nests more than {MAX_DEPTH} deep')
                if total > MAX_EXPANDED:
                    raise Unreadable(f'its pickle stands for more than {MAX_EXPANDED} values')
                measured[id(node)] = depth, total


class _Follower:
    """Stack and memo of an unpickler, with nodes in place of values."""

    def __init__(
        self, callables: Mapping[str, Check | None], names: Callable[[str], bool], states: Mapping[str, Check | None]
    ) -> None:
        self.callables, self.names, self.states = callables, names, states
        self.stack: list = []
        self.table: dict[int, Any] = {}
        self.nodes: list[Node] = []
        self.persistent: list[Node] = []

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in NUMBERS:
            if isinstance(argument, int) and argument.bit_length() > 8 * MAX_INTEGER_BYTES:
                raise Unreadable(f'its pickle has an integer of {argument.bit_length()} bits')
            stack.append(argument)
        elif name in STRINGS:
            stack.append(argument if len(argument) <= SHORT else Long())
        elif name in PUTS:
            if not 0 <= argument < MAX_OPCODES:
                raise Unreadable(f'its pickle names place {argument} of a table')
            self.table[argument] = self.top()
        elif name == 'MEMOIZE':
            self.table[len(self.table)] = self.top()
        elif name in GETS:
            stack.append(self.table[argument])
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name == 'MARK':
            stack.append(MARK)
        elif name in FROM_TOP:
            self.make('tuple', self.pop(FROM_TOP[name]))
        elif name in EMPTY:
            self.make(EMPTY[name], [])
        elif name in FROM_MARK:
            items = self.pop_to_mark()
            if name == 'DICT':
                self.check_keys(items)
            self.make(FROM_MARK[name], items)
        elif name in ('APPEND', 'APPENDS'):
            items = self.pop(1) if name == 'APPEND' else self.pop_to_mark()
            self.extend(items, ('list',))
        elif name in ('SETITEM', 'SETITEMS'):
            items = self.pop(2) if name == 'SETITEM' else self.pop_to_mark()
            self.check_keys(items)
            self.extend(items, ('dict', 'call'))
        elif name == 'ADDITEMS':
            items = self.pop_to_mark()
            self.check_plain(items)
            self.extend(items, ('set',))
        elif name == 'GLOBAL':
            self.name_global(*argument.split(' ', 1))
        elif name == 'STACK_GLOBAL':
            self.name_global(*self.pop(2))
        elif name in ('REDUCE', 'NEWOBJ'):
            self.call(*self.pop(2))
        elif name == 'BUILD':
            self.build(*self.pop(1))
        elif name == 'BINPERSID':
            node = self.make('persistent', self.pop(1))
            self.persistent.append(node)
        elif name == 'POP':
            self.stack.pop()
        elif name == 'DUP':
            stack.append(self.top())
        elif name == 'STOP':
            if len(stack) != 1:
                raise Unreadable('its pickle is damaged (it ends with a value too many or too few)')
            self.top()
        elif name not in ('PROTO', 'FRAME'):
            raise Unreadable(f'its pickle has the opcode {name}, which no file of this kind needs')

    def make(self, kind: str, items: list, name: str = '') -> Node:
        node = Node(kind, items, name)
        if node.levels > MAX_DEPTH:
            raise Unreadable(f'its pickle nests more than {MAX_DEPTH} deep')
        self.nodes.append(node)
        self.stack.append(node)
        return node

    def top(self) -> Any:
        if self.stack[-1] is MARK:
            raise Unreadable('its pickle is damaged (a mark in place of a value)')
        return self.stack[-1]

    def pop(self, number: int) -> list:
        found = self.stack[-number:]
        if len(found) < number or any(item is MARK for item in found):
            raise Unreadable('its pickle is damaged (values are missing)')
        del self.stack[-number:]
        return found

    def pop_to_mark(self) -> list:
        items = []
        while self.stack[-1] is not MARK:
            items.append(self.stack.pop())
        self.stack.pop()
        return items[::-1]

    def extend(self, items: list, kinds: tuple[str, ...]) -> None:
        node = self.top()
        if not isinstance(node, Node) or node.kind not in kinds:
            raise Unreadable('its pickle is damaged (it adds to what is no container)')
        node.items.extend(items)

    def check_keys(self, items: list) -> None:
        if len(items) % 2:
            raise Unreadable('its pickle is damaged (a key without a value)')
        self.check_plain(items[::2])

    def check_plain(self, items: list) -> None:
        """Raise Unreadable unless keys are plain values or tuples of them, whose hashes are cheap."""
        for item in items:
            parts = item.items if isinstance(item, Node) and item.kind == 'tuple' else [item]
            if not all(map(is_plain, parts)):
                raise Unreadable('its pickle has a key that is neither a plain value nor a tuple of them')

    def name_global(self, module: Any, name: Any) -> None:
        full = f'{module}.{name}'
        if not (isinstance(module, str) and isinstance(name, str)) or not (full in self.callables or self.names(full)):
            raise ForeignName(full if len(full) <= SHORT else f'{full[:SHORT]}...')
        self.make('global', [], full)

    def build(self, state: Any) -> None:
        node = self.top()
        function = node.items[0].name if isinstance(node, Node) and node.kind == 'call' else None
        if function is None or function not in self.states:
            raise Unreadable(f'its pickle gives a state to {function or "what takes none"}')
        check = self.states[function]
        wrong = check([state]) if check else None
        if wrong:
            raise Unreadable(f'its pickle gives {function} a state with {wrong}')
        node.items.append(state)

    def call(self, function: Any, arguments: Any) -> None:
        if (
            not isinstance(function, Node)
            or function.kind != 'global'
            or not isinstance(arguments, Node)
            or arguments.kind != 'tuple'
        ):
            raise Unreadable('its pickle is damaged (it calls what is no function)')
        if function.name not in self.callables:
            raise ForeignName(function.name)
        check = self.callables[function.name]
        wrong = check(arguments.items) if check else None
        if wrong:
            raise Unreadable(f'its pickle calls {function.name} with {wrong}')
        self.make('call', [function, arguments])
