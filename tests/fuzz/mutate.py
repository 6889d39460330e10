"""Changes to valid files. The same random state makes the same change."""

import io
import json
import pickletools
import struct
import zipfile
import zlib

NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**64 - 1,
)
VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    0.5,
    1e308,
    float('inf'),
    float('nan'),
    2**31,
    2**63,
    10**30,
    '',
    'x',
    'x' * 999,
    '../x',
    'a\0b',
    '\ud800',
    [],
    {},
    [[]],
    [None],
    [0],
    {'': 0},
    {'x': [1]},
    [1, 'a'],
    [[1, 2], [3, 4]],
)
DESCRIPTIONS = (
    "'|u1'",
    "'<f8'",
    "'|O'",
    "'<U9'",
    "'|V0'",
    "'|S0'",
    "'|V99999999'",
    "[('a', '<f8')]",
    'None',
    '7',
    "'no'",
    '((' * 40 + '))' * 40,
    "[('a', '|u1', (2147483647,))]",
)
SHAPES = (
    '()',
    '(0,)',
    '(-1,)',
    '(1,)',
    '(3, 4)',
    '(4, 8, 8, 3)',
    '(1000000000000,)',
    '(' + '1,' * 40 + ')',
    '(2.5,)',
    '(True,)',
    'None',
    '[4]',
    '(0, 4611686018427387904)',
    '(4294967296, 4294967296)',
)


def of_bytes(random, content, others=()):
    """Change bytes, whatever they mean."""
    content = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        size = len(content)
        place = random.randrange(size + 1)
        kind = random.randrange(8)
        if kind == 0 and size:
            for _ in range(random.choice((1, 2, 8))):
                content[random.randrange(size)] ^= 1 << random.randrange(8)
        elif kind == 1 and size:
            content[random.randrange(size)] = random.randrange(256)
        elif kind == 2:
            del content[place:]
        elif kind == 3:
            del content[place : place + random.choice((1, 4, 30))]
        elif kind == 4:
            content[place:place] = random.randbytes(random.choice((1, 4, 30)))
        elif kind == 5:
            start = random.randrange(size + 1)
            content[place:place] = content[start : start + random.choice((1, 8, 64, 1000))]
        elif kind == 6:
            width, order = random.choice((1, 2, 4, 8)), random.choice(('little', 'big'))
            number = random.choice((*NUMBERS, size, size + 1)) & 256**width - 1
            content[place : place + width] = number.to_bytes(width, order)
        elif others:
            other = random.choice(others)
            content[place:] = other[random.randrange(len(other) + 1) :]
    return bytes(content)


def of_json(random, content, others=()):
    """Change a value, a key or the depth of a JSON text, and now and then its bytes."""
    if random.random() < 0.2:
        return of_bytes(random, content, others)
    try:
        value = json.loads(content)
    except ValueError:
        return of_bytes(random, content, others)
    for _ in range(random.choice((1, 1, 2))):
        value = _changed(random, value)
    text = json.dumps(value)
    if random.random() < 0.02:
        depth = random.choice((60, 70, 900, 5000))
        text = '[' * depth + text + ']' * depth
    return text.encode('utf-8', 'surrogatepass')


def _changed(random, value):
    if random.random() < 0.15 or not isinstance(value, (dict, list)) or not value:
        return random.choice(VALUES)
    if isinstance(value, dict):
        key = random.choice(list(value))
        if random.random() < 0.1:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: _changed(random, value[key])}
    place = random.randrange(len(value))
    if random.random() < 0.2:
        return value[:place] + value[place : place + 1] * random.choice((0, 2, 50)) + value[place + 1 :]
    return [*value[:place], _changed(random, value[place]), *value[place + 1 :]]


def of_npy(random, content, others=()):
    """Change the header of an npy file, which stays of its length where that is possible, or its bytes."""
    if random.random() < 0.4 or not content.startswith(b'\x93NUMPY'):
        return of_bytes(random, content, others)
    (length,) = struct.unpack_from('<H', content, 8)
    text = content[10 : 10 + length].decode('latin1')
    header = eval(text)  # of a file of these tests
    parts = {key: repr(item) for key, item in header.items()}
    key = random.choice(list(parts))
    parts[key] = random.choice(dict(descr=DESCRIPTIONS, shape=SHAPES).get(key, ('True', 'False', '1', 'None')))
    text = '{' + ', '.join(f'{key!r}: {item}' for key, item in parts.items()) + '}\n'
    text = text.ljust(length).encode('latin1')
    return content[:8] + struct.pack('<H', len(text) & 0xFFFF) + text + content[10 + length :]


def of_pickle(random, content, others=()):
    """Drop, repeat, swap or put in opcodes of a pickle, or change its bytes."""
    if random.random() < 0.3:
        return of_bytes(random, content, others)
    try:
        starts = [place for _, _, place in pickletools.genops(content)]
    except ValueError:
        return of_bytes(random, content, others)
    spans = [content[start:end] for start, end in zip(starts, [*starts[1:], len(content)])]
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(len(spans))
        kind = random.randrange(6)
        if kind == 0:
            del spans[place]
        elif kind == 1:
            spans.insert(place, random.choice(spans))
        elif kind == 2:
            other = random.randrange(len(spans))
            spans[place], spans[other] = spans[other], spans[place]
        elif kind == 3:
            spans.insert(
                place,
                random.choice(
                    (
                        b'N',
                        b'\x85',
                        b')',
                        b'}',
                        b']',
                        b'(',
                        b't',
                        b'0',
                        b'2',
                        b'R',
                        b'b',
                        b's',
                        b'a',
                        b'J\xff\xff\xff\xff',
                        b'\x8a\x08' + b'\x7f' * 8,
                        b'G' + b'\x7f' * 8,
                        b'h\x00',
                        b'r\xff\xff\xff\xff',
                        b'X\x01\0\0\0a',
                        b'q\x00',
                    )
                ),
            )
        elif kind == 4:
            spans[place] = b'K' + bytes([random.randrange(256)])
        else:
            spans.insert(place, b'\x85' * random.choice((10, 70, 5000)))
        if not spans:
            break
    return b''.join(spans)


def of_zip(random, content, others=(), inner=None):
    """Change an entry of a zip file, its directory, or its bytes."""
    kind = random.random()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    except Exception:
        return of_bytes(random, content, others)
    if kind < 0.2:
        return of_bytes(random, content, others)
    if kind < 0.5:  # a field of the directory or of a header in front of an entry
        signature = random.choice((b'PK\x01\x02', b'PK\x01\x02', b'PK\x03\x04', b'PK\x05\x06', b'PK\x06\x06'))
        places = [place for place in range(len(content)) if content.startswith(signature, place)]
        if places:
            place, width = random.choice(places) + random.randrange(4, 46), random.choice((1, 2, 4))
            number = random.choice((*NUMBERS, len(content))) & 256**width - 1
            return content[:place] + number.to_bytes(width, 'little') + content[place + width :]
    place = random.randrange(len(entries))
    entry, data = entries[place]
    change = (inner or {}).get(entry.filename.rpartition('.')[2], of_bytes)
    method = entry.compress_type
    if kind < 0.9:
        entries[place] = entry, change(random, data)
    elif kind < 0.93:
        del entries[place]
    elif kind < 0.96:
        entries.insert(place, random.choice(entries))
    else:
        method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        for number, (entry, data) in enumerate(entries):
            name = entry.filename
            if random.random() < 0.02:
                name = random.choice(('', 'x', '../x', name.upper()))
            if name in archive.namelist():  # of which zipfile would warn
                name += '~'
            archive.writestr(zipfile.ZipInfo(name), data, method if number == place else entry.compress_type)
    return file.getvalue()


def of_png(random, content, others=()):
    """Change a chunk of a PNG, its checksum included, or its bytes."""
    if random.random() < 0.3:
        return of_bytes(random, content, others)
    chunks, place = [], 8
    while place + 12 <= len(content):
        length, kind = struct.unpack_from('>I4s', content, place)
        chunks.append((kind, content[place + 8 : place + 8 + length], None))
        place += 12 + length
    number = random.randrange(len(chunks))
    kind, data, _ = chunks[number]
    choice = random.randrange(5)
    if choice == 0:
        chunks[number] = kind, of_bytes(random, data), None
    elif choice == 1:
        chunks[number] = kind, data, random.choice(NUMBERS) & 2**32 - 1
    elif choice == 2:
        kind = random.choice(
            (
                b'IHDR',
                b'PLTE',
                b'tRNS',
                b'IDAT',
                b'IEND',
                b'acTL',
                b'fcTL',
                b'fdAT',
                b'iCCP',
                b'zTXt',
                b'iTXt',
                b'eXIf',
                b'gAMA',
                b'abCD',
            )
        )
        chunks.insert(number, (kind, random.randbytes(random.choice((0, 1, 8, 26, 768))), None))
    elif choice == 3:
        del chunks[number]
    else:
        chunks.insert(random.randrange(len(chunks)), chunks[number])
    made = [
        struct.pack('>I', len(data) if length is None else length)
        + kind
        + data
        + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data, length in chunks
    ]
    return content[:8] + b''.join(made)


def of_safetensors(random, content, others=()):
    """Change the header of a safetensors file, its length included, or its bytes."""
    length = int.from_bytes(content[:8], 'little')
    if random.random() < 0.3 or length + 8 > len(content):
        return of_bytes(random, content, others)
    header = of_json(random, content[8 : 8 + length])
    return len(header).to_bytes(8, 'little') + header + content[8 + length :]


def of_config(random, content, others=()):
    """Change a config, now and then by what nests deep."""
    if random.random() < 0.9:
        return of_bytes(random, content, others)
    place, depth = random.randrange(len(content) + 1), random.choice((50, 150, 900, 3000, 100_000))
    start, end = random.choice(
        ((b'(', b')'), (b'[', b']'), (b'-', b'1'), (b'dict(a=', b')'), (b'{1:', b'}'), (b'1+', b''))
    )
    return content[:place] + start * depth + end * random.choice((0, 1, depth)) + content[place:]


def of_gzip(random, content, others=()):
    """Change what is compressed in a gzip file, or its bytes."""
    if random.random() < 0.4:
        return of_bytes(random, content, others)
    made = of_bytes(random, zlib.decompress(content, 31))
    compressor = zlib.compressobj(wbits=31)
    return compressor.compress(made) + compressor.flush()
