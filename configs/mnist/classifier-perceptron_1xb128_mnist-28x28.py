# A judge that differs from the shipped classifier in architecture and training: no dropout, no label smoothing.
_base_ = './classifier_1xb128_mnist-28x28.py'
model = dict(architecture='perceptron', dropout=0.0, label_smoothing=0.0)
