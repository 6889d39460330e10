# Evaluation by classifiers of two more architectures, which took no part in the selection of models, and by the sliced
# Wasserstein distance, which needs no classifier.
_base_ = './ect_1xb32_mnist-28x28.py'
test_evaluator = dict(
    metrics=[
        dict(type='FrechetDistance'),
        dict(type='LabelAccuracy'),
        dict(type='SlicedWasserstein'),
        *[
            dict(
                type='FrechetDistance',
                prefix=f'frechet_{architecture}',
                extractor=dict(
                    type='DigitsClassifier',
                    architecture=architecture,
                    image_size=28,
                    checkpoint=f'package:weights/mnist_judge_{architecture}.safetensors',
                ),
            )
            for architecture in ('normalised', 'perceptron')
        ],
    ]
)
