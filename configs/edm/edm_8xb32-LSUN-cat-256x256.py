_base_ = './edm_8xb32-LSUN-bedroom-256x256.py'
checkpoint = 'edm_cat256_ema'
train_dataloader = dict(dataset=dict(data_root='data/lsun/cat'))
test_evaluator = dict(reference='lsun_cat256')
