_base_ = './lsun_256x256.py'
train_dataloader = dict(dataset=dict(data_root='data/lsun/cat'))
test_evaluator = dict(reference='lsun_cat256')
