_base_ = './in_memory.py'
train_dataloader = dict(batch_size=32, dataset=dict(type='DigitsDataset'))
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SamplingRequests', num_samples=2000, num_classes=10, labels='balanced'))
classifier = dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors')
test_evaluator = [
    dict(type='FrechetDistance', extractor=classifier, reference=dict(type='DigitsDataset')),
    dict(type='LabelAccuracy', extractor=classifier),
    dict(type='PrecisionRecall', extractor=classifier, reference=dict(type='DigitsDataset'))
]
test_cfg = dict()
