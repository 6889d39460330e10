# Evaluation of the digits by several judges: classifiers of three architectures with three seeds each, which took no
# part in the selection of models, and the sliced Wasserstein distance, which needs no classifier.
_base_ = './cd_1xb32_digits-8x8.py'
judges = [f'{kind}{seed}' for kind in ('convolutional', 'normalised', 'perceptron') for seed in (1, 2, 3)]
test_evaluator = dict(
    metrics=[
        dict(type='FrechetDistance'),
        dict(type='LabelAccuracy'),
        dict(type='SlicedWasserstein'),
        *[
            dict(
                type='FrechetDistance',
                prefix=f'frechet_{judge}',
                extractor=dict(
                    type='DigitsClassifier',
                    architecture=judge[:-1],
                    checkpoint=f'package:weights/digits_judge_{judge}.safetensors',
                ),
            )
            for judge in judges
        ],
    ]
)
