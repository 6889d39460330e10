_base_ = './lsun_256x256.py'
train_dataloader = dict(dataset=dict(data_root='data/lsun/bedroom'))
test_evaluator = dict(reference='lsun_bedroom256')
