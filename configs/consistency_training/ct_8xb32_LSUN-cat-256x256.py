_base_ = './ct_8xb32_LSUN-bedroom-256x256.py'
checkpoint = 'ct_cat256'
train_dataloader = dict(dataset=dict(data_root='data/lsun/cat'))
test_evaluator = dict(reference='lsun_cat256')
