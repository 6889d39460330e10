_base_ = ['./in_memory.py', '../evaluation/validation.py']
train_dataloader = dict(batch_size=32, dataset=dict(type='DigitsDataset'))
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    batch_sampler=dict(type='WholeBatches'),
    dataset=dict(type='SamplingRequests', num_samples=2000, num_classes=10, labels='balanced'),
)
val_dataloader = dict(dataset=dict(num_samples=250))
val_evaluator = dict(reference='train')  # the recipes train on all digits: nothing is held out
test_evaluator = dict(
    type='ImageEvaluator',
    extractor=dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors'),
    reference=dict(type='DigitsDataset'),
    metrics=[dict(type='FrechetDistance'), dict(type='LabelAccuracy'), dict(type='PrecisionRecall')],
)
test_cfg = dict()
