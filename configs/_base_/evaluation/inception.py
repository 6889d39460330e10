# 50 000 generated images, measured by the metrics of Dhariwal & Nichol's evaluator (2021) and by KID.
test_dataloader = dict(
    batch_size=100,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    batch_sampler=dict(type='WholeBatches'),
    dataset=dict(type='SamplingRequests', num_samples=50000),
)
test_evaluator = dict(
    type='ImageEvaluator',
    extractor=dict(type='InceptionV3'),
    metrics=[
        dict(type='FrechetDistance'),
        dict(type='FrechetDistance', which='spatial'),
        dict(type='InceptionScore'),
        dict(type='KernelDistance'),
        dict(type='PrecisionRecall'),
    ],
)
test_cfg = dict()
