# Validation by the Frechet distance of Inception's features, whose weights are downloaded. It selects the best
# checkpoint. More images than its 2048 dimensions, as their covariance would be singular.
_base_ = './validation.py'
extractor = dict(type='InceptionV3')
val_dataloader = dict(dataset=dict(num_samples=2500))
val_evaluator = dict(metrics=[dict(type='FrechetDistance', extractor=extractor), *_base_.val_evaluator.metrics])
