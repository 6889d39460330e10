# The pack of tools/dataset_converters/emoji.py. Flags and clocks are mirrored, too, and stay flags and clocks.
_base_ = './in_memory.py'
train_dataloader = dict(batch_size=32, dataset=dict(type='ImagePack', data_file='data/emoji.npz', flip=True))
