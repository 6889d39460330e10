_base_ = './classifier_1xb128_digits-8x8.py'
model = dict(architecture='normalised')
