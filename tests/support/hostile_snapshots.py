"""Network pickles that ask for more than a network: each opcode that can call, and small files that ask for much.

Values are written opcode by opcode, as no pickler writes them. A `payload` leaves one value on the stack.
"""

import io
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict

import numpy as np
import torch

from support.parity import FOLDER

SNAPSHOT = FOLDER / 'edm_snapshot_tiny.pkl'  # genuine, but for a word in place of the program's source
EXTENSIONS = 0xA9, 0x71A9  # codes of copyreg that stand for os.system, see `calls`
STOP, MARK = b'.', b'('


def text(value):
    """A string."""
    encoded = value.encode()
    return b'X' + struct.pack('<I', len(encoded)) + encoded


def data(value):
    """Bytes."""
    return b'B' + struct.pack('<I', len(value)) + value


def number(value):
    """An integer of 32 bits."""
    return b'J' + struct.pack('<i', value)


def tuple_of(*items):
    """A tuple."""
    return MARK + b''.join(items) + b't'


def dict_of(**items):
    """A dictionary with names for keys."""
    return b'}' + MARK + b''.join(text(key) + value for key, value in items.items()) + b'u'


def named(name, opcode='STACK_GLOBAL'):
    """What has a name, `module.name`."""
    module, name = name.rsplit('.', 1) if isinstance(name, str) else name
    if opcode == 'GLOBAL':
        return f'c{module}\n{name}\n'.encode()
    return text(module) + text(name) + b'\x93'


def called(name, *arguments, opcode='STACK_GLOBAL'):
    """The result of a call by REDUCE."""
    return named(name, opcode) + tuple_of(*arguments) + b'R'


def array(values, package='numpy.core.multiarray', dtype='f4', shape=None, content=None):
    """An array of NumPy."""
    kind = called('numpy.dtype', text(dtype), b'\x89', b'\x88')
    kind += tuple_of(number(3), text('<'), b'N', b'N', b'N', number(-1), number(-1), number(0)) + b'b'
    content = np.asarray(values, '<f4').tobytes() if content is None else content
    sizes = tuple_of(*map(number, (len(values),) if shape is None else shape))
    empty = called(f'{package}._reconstruct', named('numpy.ndarray'), tuple_of(number(0)), data(b'b'))
    return empty + tuple_of(number(1), sizes, kind, b'\x89', data(content)) + b'b'


def persistent(class_name, module_src='', **state):
    """An object as EDM's persistence writes it, with the attributes `state`."""
    meta = dict(version=number(6), module_src=text(module_src), class_name=text(class_name), state=dict_of(**state))
    return called('torch_utils.persistence._reconstruct_persistent_obj', dict_of(type=text('class'), **meta))


def snapshot(payload, **parts):
    """A snapshot whose network has `payload` as an attribute, and `parts` as others."""
    network = persistent('EDMPrecond', extra=payload, **parts)
    return b'\x80\x04' + dict_of(ema=network) + STOP


def inside(payload):
    """The genuine snapshot with `payload` under a key of its own behind the network."""
    content = SNAPSHOT.read_bytes()
    assert content.endswith(b'u.')
    return content[:-2] + text('extra') + payload + b'u.'


def storage(content):
    """What torch makes of the bytes of a storage."""
    return called('torch.storage._load_from_bytes', data(content))


def legacy(value):
    """A file of torch.save in the older format, in which storages lie in such pickles."""
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def legacy_program(program):
    """A file of the older format whose content is made by `program`."""
    head = [pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, dict(little_endian=True))]
    return b''.join(head) + b'\x80\x02' + program + STOP + pickle.dumps([], 2)


def zipped(name, content, method=zipfile.ZIP_STORED):
    """A zip file of one record."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', method) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def legacy_storage(values):
    """The bytes of the storage of a tensor, as snapshots have them."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of storages with a type
        return legacy(values.storage())


def tensor_of(pickled_storage, size, stride, offset=0):
    """A tensor of what `storage` returns."""
    numbers = [tuple_of(*(b'\x8a\x08' + struct.pack('<q', each) for each in values)) for values in (size, stride)]
    arguments = (pickled_storage, number(offset), *numbers, b'\x89', called('collections.OrderedDict'))
    return called('torch._utils._rebuild_tensor_v2', *arguments)


def tensor(content, size, stride, offset=0):
    """A tensor of the bytes of a storage."""
    return tensor_of(storage(content), size, stride, offset)


def programs(trap):
    """Return programs that create the file `trap` when they run, by name: function and arguments."""
    code, shell = f'open({str(trap)!r}, "w").close()', f'touch {trap}'
    return {
        'os.system': ('os.system', text(shell)),
        'posix.system': ('posix.system', text(shell)),
        'os.popen': ('os.popen', text(shell)),
        'subprocess.Popen': ('subprocess.Popen', tuple_of(text('touch'), text(str(trap)))),
        'subprocess.check_output': ('subprocess.check_output', tuple_of(text('touch'), text(str(trap)))),
        'builtins.eval': ('builtins.eval', text(code)),
        'builtins.exec': ('builtins.exec', text(code)),
        '__builtin__.eval': ('__builtin__.eval', text(code)),
        'builtins.open': ('builtins.open', text(str(trap)), text('w')),
        'builtins.getattr': ('builtins.getattr', named('os.environ'), text('clear')),
        'builtins.__import__': ('builtins.__import__', text('antigravity')),
        'importlib.import_module': ('importlib.import_module', text('antigravity')),
        'runpy.run_path': ('runpy.run_path', text(str(trap))),
        'pathlib.Path': ('pathlib.Path', text(str(trap))),
        'shutil.copy': ('shutil.copy', text(str(SNAPSHOT)), text(str(trap))),
        'pickle.loads': ('pickle.loads', data(b'cos\nsystem\n(' + text(shell) + b'tR.')),
        'torch.load': ('torch.load', text(str(trap))),
        'torch.jit.load': (('torch.jit', 'load'), text(str(trap))),
        'torch.hub.load': (('torch.hub', 'load'), text('nobody/nothing'), text('model')),
        'torch.storage._load': ('torch.storage.torch.load', text(str(trap))),
        'numpy.load': ('numpy.load', text(str(trap))),
        'numpy.core.multiarray._reconstruct': (
            'numpy.core.multiarray._reconstruct',
            named('numpy.ndarray'),
            tuple_of(number(2**30)),
            data(b'b'),
        ),
        'operator.attrgetter': ('operator.attrgetter', text('system')),
        'functools.partial': ('functools.partial', named('os.system'), text(shell)),
        'torch_utils.persistence._src_to_module': ('torch_utils.persistence._src_to_module', text(code)),
        'dnnlib.util.open_url': ('dnnlib.util.open_url', text('http://127.0.0.1:9/x')),
        'mmcm.checkpoints.read.read_checkpoint': ('mmcm.checkpoints.read.read_checkpoint', text(str(trap))),
    }


def calls(trap):
    """Yield snapshots that call what they may not, each by another function or opcode; see `programs`."""
    for name, (function, *arguments) in programs(trap).items():
        yield f'REDUCE {name}', snapshot(called(function, *arguments))
    shell = text(f'touch {trap}')
    system, popen, arguments = named('os.system'), named('subprocess.Popen'), tuple_of(shell)
    yield 'GLOBAL os.system', snapshot(called('os.system', shell, opcode='GLOBAL'))
    yield 'GLOBAL behind the genuine network', inside(called('os.system', shell, opcode='GLOBAL'))
    yield 'name without a call', snapshot(system)
    yield 'name of an attribute', snapshot(called(('collections', 'OrderedDict.fromkeys'), arguments))
    yield 'name of another module', snapshot(called(('torch._utils.torch', 'load'), shell))
    yield 'name made of no text', snapshot(number(1) + number(2) + b'\x93' + arguments + b'R')
    yield 'NEWOBJ', snapshot(popen + arguments + b'\x81')
    yield 'NEWOBJ_EX', snapshot(popen + arguments + b'}\x92')
    yield 'NEWOBJ_EX of a known class', snapshot(named('dnnlib.util.EasyDict') + b')' + dict_of(a=shell) + b'\x92')
    yield 'OBJ', snapshot(MARK + system + shell + b'o')
    yield 'INST', snapshot(MARK + shell + b'ios\nsystem\n')
    yield 'REDUCE of a persistent object', snapshot(persistent('Linear') + arguments + b'R')
    yield 'BUILD of a function', snapshot(system + dict_of(a=shell) + b'b')
    yield 'BUILD with __setstate__', snapshot(persistent('Linear') + dict_of(__setstate__=system) + b'b' + shell + b'b')
    yield 'BUILD of a dictionary', snapshot(called('dnnlib.util.EasyDict') + dict_of(__class__=popen) + b'b')
    yield 'BUILD of an ordered dictionary', snapshot(called('collections.OrderedDict') + dict_of(a=shell) + b'b')
    yield (
        'BUILD with slots',
        snapshot(
            named('torch.nn.modules.container.ModuleDict') + b')\x81' + tuple_of(b'N', dict_of(__class__=popen)) + b'b'
        ),
    )
    for opcode, packed in (('EXT1', b'\x82\xa9'), ('EXT2', b'\x83\xa9\x71'), ('EXT4', b'\x84\xa9\x71\0\0')):
        yield opcode, snapshot(packed + arguments + b'R')
    yield 'PERSID', snapshot(b'Pos.system\n')
    yield 'BINPERSID', snapshot(tuple_of(text('storage'), named('collections.OrderedDict'), shell) + b'Q')
    yield 'NEXT_BUFFER', snapshot(b'\x97')
    # In the bytes of a tensor, which are a pickle of their own.
    nested = called('os.system', shell, opcode='GLOBAL')
    yield 'nested call', snapshot(storage(legacy_program(nested)))
    yield 'nested call behind the genuine network', inside(storage(legacy_program(nested)))
    yield 'nested name', snapshot(storage(legacy_program(named('os.system', 'GLOBAL'))))
    yield 'nested OBJ', snapshot(storage(legacy_program(MARK + named('os.system', 'GLOBAL') + shell + b'o')))
    yield 'nested pickle alone', snapshot(storage(b'\x80\x02' + nested + STOP))
    yield 'nested zip', snapshot(storage(zipped('archive/data.pkl', b'\x80\x02' + nested + STOP)))
    yield 'nested TorchScript', snapshot(storage(zipped('code/__torch__.py', b'import os')))
    yield 'nested persistence', snapshot(storage(legacy_program(persistent('Linear', module_src='import os'))))
    yield 'nested bytes twice', snapshot(storage(legacy_program(storage(legacy_program(nested)))))
    # Numbers of NumPy can hold objects, which are pickles, too.
    dtype = called('numpy.dtype', text('O8'), b'\x89', b'\x88')
    yield 'number of objects', snapshot(called('numpy._core.multiarray.scalar', dtype, data(b'cos\nsystem\n')))
    fields = tuple_of(number(3), text('<'), b'N', dict_of(a=shell), b'N', number(-1), number(-1), number(63)) + b'b'
    plain = called('numpy.dtype', text('f8'), b'\x89', b'\x88')
    yield 'dtype with fields', snapshot(called('numpy.core.multiarray.scalar', plain + fields, data(bytes(8))))


def bombs():
    """Yield small snapshots that ask for much time or memory, or are damaged, by name."""
    doubled = b']' + b''.join(b'q' + bytes([n]) + b']h' + bytes([n]) + b'ah' + bytes([n]) + b'a' for n in range(60))
    deep_persistent = b'N'
    for _ in range(40):
        deep_persistent = persistent('Linear', inner=deep_persistent)
    one = legacy(torch.zeros(1).untyped_storage())
    typed = legacy_storage(torch.zeros(4))
    yield 'lists of lists', snapshot(doubled)
    yield 'deep tuples', snapshot(b')' + b'\x85' * 100_000)
    yield 'deep objects', snapshot(deep_persistent)
    yield 'list that holds itself', snapshot(b']q\x00h\x00a')
    yield (
        'module that holds itself',
        snapshot(b'N', _modules=b'}q\x01' + text('a') + persistent('Linear', _modules=b'h\x01') + b's'),
    )
    yield 'integer of many digits', snapshot(b'I' + b'9' * 100_000 + b'\n')
    yield 'LONG4', snapshot(b'\x8b' + struct.pack('<i', 2**20) + bytes(2**20 - 1) + b'\x01')
    yield 'LONG1', snapshot(b'\x8a\xff' + b'\x7f' * 255)
    yield 'text of exabytes', snapshot(b'\x8d' + struct.pack('<Q', 2**62))
    yield 'bytes of terabytes', snapshot(b'\x8e' + struct.pack('<Q', 2**42))
    yield 'byte array of terabytes', snapshot(b'\x96' + struct.pack('<Q', 2**42))
    yield 'far place of the table', snapshot(b'Nr\xff\xff\xff\x7f')
    yield 'unknown place of the table', snapshot(b'h\xf0')
    yield 'keys of tuples of tuples', snapshot(b'}' + b')' + b'\x85' * 30 + b'Ns')
    yield 'too many opcodes', snapshot(b'N0' * 600_000 + b'N')
    yield 'storage of gigabytes', snapshot(storage(legacy_program(_declared(2**33))))
    yield 'storage of bytes without a type', snapshot(tensor(one, (1,), (1,)))
    yield 'compressed bytes', snapshot(storage(zipped('a/data.pkl', bytes(2**22), zipfile.ZIP_DEFLATED)))
    yield 'tensor of one value many times', snapshot(tensor(typed, (2**40,), (0,)))
    yield 'tensor behind its storage', snapshot(tensor(typed, (4,), (1,), offset=1))
    yield 'tensor of distant values', snapshot(tensor(typed, (2,), (2**40,)))
    yield 'tensor of negative size', snapshot(tensor(typed, (-1,), (1,)))
    large = legacy_storage(torch.zeros(4096))
    again = named('torch.storage._load_from_bytes') + b'h\x00\x85R'
    several = MARK + tensor_of(again, (4096,), (1,)) * 100 + b'l'
    yield 'many tensors of one storage', snapshot(data(large) + b'q\x000' + several)
    yield 'storage that is a dictionary', snapshot(tensor(legacy(OrderedDict()), (1,), (1,)))
    yield 'network that is a text', b'\x80\x04' + dict_of(ema=text('EDMPrecond'), a=persistent('Linear')) + STOP
    yield 'no network', b'\x80\x04' + dict_of(G_ema=persistent('Generator')) + STOP
    yield (
        'persistent object without a state',
        snapshot(called('torch_utils.persistence._reconstruct_persistent_obj', dict_of(class_name=text('Linear')))),
    )
    yield 'module that is a number', snapshot(b'N', _modules=dict_of(model=number(1)))
    yield 'parameter that is a text', snapshot(b'N', _parameters=dict_of(weight=text('x')))
    yield 'parts with numbers for names', snapshot(b'N', _buffers=b'}' + number(1) + b'Ns')
    yield 'truncated', SNAPSHOT.read_bytes()[:-10]
    yield 'half', SNAPSHOT.read_bytes()[:60_000]
    yield 'more behind the end', SNAPSHOT.read_bytes() + b'N.'
    yield 'two values', b'\x80\x04' + persistent('Linear') + b'N' + STOP


def configs():
    """Yield snapshots of networks that no machine computes, or that are unknown here, by name."""
    settings = dict(img_resolution=number(8), label_dim=number(0))
    changes = {
        'base_channels': dict(model_channels=number(2**30)),
        'levels': dict(channel_mult=b']' + MARK + number(1) * 1000 + b'e'),
        'image_size': dict(img_resolution=number(2**20)),
        'text for a size': dict(img_resolution=text('8')),
        'object for a size': dict(img_resolution=persistent('Linear')),
        'more weights than there are': dict(model_channels=number(512)),
        'unknown setting': dict(decoder_type=text('skip')),
        'unknown name': {'a\nb' * 200: number(1)},
    }
    for name, change in changes.items():
        unet = persistent('SongUNet', _init_args=b')', _init_kwargs=dict_of(**{**settings, **change}))
        yield name, snapshot(b'N', _modules=dict_of(model=unet))
    unet = persistent('SongUNet', _init_args=tuple_of(number(8)), _init_kwargs=dict_of(**settings))
    yield 'settings without names', snapshot(b'N', _modules=dict_of(model=unet))
    yield 'unknown network', snapshot(b'N', _modules=dict_of(model=persistent('Gener\nator' * 50)))
    yield 'no network inside', snapshot(b'N')
    yield 'unknown preconditioning', b'\x80\x04' + dict_of(ema=persistent('VEPrecond')) + STOP


def _declared(size):
    """A storage that declares `size` numbers, in the bytes of a storage."""
    identity = (
        text('storage'),
        b'ctorch\nFloatStorage\n',
        text('0'),
        text('cpu'),
        b'\x8a\x08' + struct.pack('<q', size),
    )
    return tuple_of(*identity, b'N') + b'Q'
