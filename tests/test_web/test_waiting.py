import pytest

pytest.importorskip('gradio')


QUICK = '["digits", "3", 1, 1, 0.0, 0, 1, false, 1]'
SLOW = '["own", "dog", 1, 17, 0.0, 0, 1, false, 1]'  # a second for each of 33 calls of the network


@pytest.mark.parametrize('data', [QUICK, SLOW])
def test_visitor_is_not_locked_out_by_requests_whose_answer_nobody_reads(web, data):
    """All come from one address, the visitor's: a share of the queue for each address would not help."""
    statuses = [web.join('sample', data, f'silent{index}')[0] for index in range(60)]
    assert 503 not in statuses
    status, message = web.call('sample', QUICK)
    assert status == 200 and message['success']


@pytest.mark.slow
def test_request_that_nobody_listens_for_is_forgotten_and_says_so_to_who_listens_late(web):
    for index in range(4):  # as many as one visitor may have wait, and more
        status, _ = web.join('sample', SLOW, f'late{index}')
        assert status == 200
    last = []
    for index in range(3):  # of which one was begun, perhaps
        with web.messages(f'late{index}') as messages:
            last += [message for message in messages if message['msg'] == 'process_completed']
    assert any('nobody waited' in (message['output'].get('error') or '') for message in last)


@pytest.mark.slow
def test_place_of_a_visitor_who_listens_is_not_taken(web):
    web.join('sample', SLOW, 'listens')
    with web.messages('listens') as messages:
        assert next(messages)['msg'] in ('estimation', 'process_starts')
        for index in range(10):
            web.join('sample', SLOW, f'others{index}')
        web.join('sample', QUICK, 'also-listens')
        with web.messages('also-listens') as answers:
            for index in range(10):
                web.join('sample', SLOW, f'others{index}')
            # `listens` is drawn first, and then the one that waited beside it.
            assert next(each for each in answers if each['msg'] == 'process_completed')['success']
