# The digits by several judges: classifiers of three architectures and three seeds each, none of which took part in the
# selection of a model, and the sliced Wasserstein distance, which needs none. The first metrics are the usual ones.
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
