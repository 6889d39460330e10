import io
import pickle
from collections import OrderedDict

import pytest

from mmcm.utils.bounded import MAX_DEPTH, Unreadable
from mmcm.utils.pickle_check import MAX_OPCODES, ForeignName, check_pickle

CALLABLES = {'collections.OrderedDict': None, '_codecs.encode': None}


def check(content):
    return check_pickle(io.BytesIO(content), CALLABLES, lambda name: False, {'collections.OrderedDict': None})


@pytest.mark.parametrize('protocol', range(5))
@pytest.mark.parametrize(
    'value',
    [
        None,
        3,
        -(2**40),
        0.5,
        'a',
        b'a',
        'x' * 1000,
        [],
        [[1]] * 3,
        (1, (2, 3)),
        {'a': {(1, b'b'): [None]}},
        OrderedDict(a=1),
    ],
)
def test_plain_values_are_let_through(value, protocol):
    check(pickle.dumps(value, protocol))


def test_stream_is_left_behind_the_pickle():
    stream = io.BytesIO(pickle.dumps([1], 2) + b'behind')
    check_pickle(stream, {}, lambda name: False, {})
    assert stream.read() == b'behind'


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_foreign_names_are_found(protocol):
    with pytest.raises(ForeignName, match='builtin.*eval'):
        check(pickle.dumps(eval, protocol))


@pytest.mark.parametrize(
    'content, reason',
    [
        (b')' + b'\x85' * MAX_DEPTH + b'.', 'nests more than'),
        (b']q\x00h\x00a.', 'holds itself'),
        (b'})\x85\x85Ns.', 'a key that is neither'),
        (b'}]Ns.', 'a key that is neither'),
        (b'Nr\xff\xff\xff\x7f.', 'names place 2147483647'),
        (b'\x8b\x00\x10\x00\x00' + b'\x7f' * 4096 + b'.', 'an integer of 32767 bits'),
        (b'\x96' + b'\xff' * 7 + b'\x7f', 'damaged|BYTEARRAY8'),
        (b'X\xff\xff\xff\x7fa.', 'damaged'),
        (b'NN.', 'too many'),
        (b'.', 'damaged|too few'),
        (b'', 'damaged'),
        (b'N', 'damaged'),
        (b'(.', 'damaged'),
        (b'NR.', 'damaged'),
        (b'h\x05.', 'damaged'),
        (b'(NNNd.', 'a key without'),
        (b'N)R.', 'no function'),
        (b'N}b.', 'what takes none'),
        (b'(i__main__\nx\n.', 'opcode INST'),
        (b'N' + b'N0' * (MAX_OPCODES // 2) + b'.', f'more than {MAX_OPCODES} opcodes'),
    ],
)
def test_damaged_and_excessive_programs_are_refused(content, reason):
    with pytest.raises(Unreadable, match=reason):
        check(b'\x80\x02' + content)


def test_lists_that_are_filled_from_the_outside_are_followed():
    # Each list is put into the one before while that is empty yet, so that no value is deep when it is made.
    program = b''.join(b']q' + bytes([number]) + b'0' for number in range(100))
    program += b''.join(b'h' + bytes([number]) + b'h' + bytes([number + 1]) + b'a0' for number in range(99)) + b'h\x00.'
    with pytest.raises(Unreadable, match='nests more than'):
        check(program)


def test_values_that_stand_for_many_are_refused():
    doubled = b''.join(b'q' + bytes([number]) + b'h' + bytes([number]) + b'\x86' for number in range(40))
    with pytest.raises(Unreadable, match='stands for more than'):
        check(b'K\x01\x85' + doubled + b'.')


def test_escapes_in_a_text_of_a_file_are_no_warnings():
    assert check_pickle(io.BytesIO(b"S'a\\qb'\n."), {}, {}, {}).value == 'a\\qb'  # warnings are errors in these tests
