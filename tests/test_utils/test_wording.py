from mmcm.utils.wording import counted


def test_noun_agrees_with_its_number():
    assert [counted(number, 'image') for number in (0, 1, 2)] == ['0 images', '1 image', '2 images']
