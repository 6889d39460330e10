import mmengine.runner._flexible_runner
import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from mmcm.engine import load_training_checkpoint
from mmcm.engine.resuming.safe_loading import find_latest_checkpoint
from mmcm.utils.errors import InputError
from support.runs import config, watched


def test_resuming_runs_nothing_that_a_checkpoint_says(tmp_path):
    """MMEngine parses `meta['config']` by running it, when a run is resumed."""
    watched(config(tmp_path / 'run', 2))
    path = tmp_path / 'run' / 'iter_2.pth'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['meta']['config'] = f'import os\nos.mkdir({str(tmp_path / "trace")!r})\n'
    torch.save(checkpoint, path)
    resumed = config(tmp_path / 'run', 4)
    resumed.resume = True
    resumed.experiment_name = 'resumed'  # which, with the second, is the name of MMEngine's logger
    assert watched(resumed).steps == [2, 3]
    assert not (tmp_path / 'trace').exists()


@pytest.mark.parametrize('address', ['s3://x/y.pth', 'torchvision://resnet18', 'open-mmlab://x', 'petrel://x'])
def test_address_that_mmengine_would_unpickle_from_is_refused(address):
    with pytest.raises(InputError, match='cannot be read safely'):
        CheckpointLoader.load_checkpoint(address)


@pytest.mark.parametrize('meta', [None, 3, dict(), dict(config=3, iter=1)])
def test_other_checkpoints_are_read_as_they_are(tmp_path, meta):
    torch.save(dict(meta=meta, state_dict=dict(a=torch.ones(1))), tmp_path / 'x.pth')
    expected = {key: value for key, value in meta.items() if key != 'config'} if isinstance(meta, dict) else meta
    assert load_training_checkpoint(tmp_path / 'x.pth')['meta'] == expected


def test_record_of_the_last_checkpoint_leads_to_files_alone(tmp_path):
    assert find_latest_checkpoint(str(tmp_path)) is None
    record = tmp_path / 'last_checkpoint'
    for text in ('http://127.0.0.1:9/x.pth', 'hf://org/name', 'digits'):
        record.write_text(text)
        with pytest.raises(InputError, match='which is neither there nor in'):
            find_latest_checkpoint(str(tmp_path))
    record.write_bytes(b'\xff\xfebad')
    with pytest.raises(InputError, match='does not name a checkpoint'):
        find_latest_checkpoint(str(tmp_path))
    torch.save(dict(meta=dict(iter=5), state_dict={}), tmp_path / 'iter_5.pth')
    record.write_text('/where/it/was/trained/iter_5.pth')  # the folder was moved since
    assert find_latest_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_5.pth')


def test_mmengine_looks_for_the_last_checkpoint_so():
    assert mmengine.runner.runner.find_latest_checkpoint is find_latest_checkpoint
    assert mmengine.runner._flexible_runner.find_latest_checkpoint is find_latest_checkpoint
