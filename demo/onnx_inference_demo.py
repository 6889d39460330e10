"""Sample a grid of images from an ONNX file of `mmcm export`, without mmcm and torch.

mmcm export --model digits --out digits.onnx
python demo/onnx_inference_demo.py digits.onnx grid.png
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

if Path(sys.argv[2]).exists():
    sys.exit(f'error: {sys.argv[2]} exists: give another name.')
session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
noise = np.random.default_rng(0).standard_normal((100, *session.get_inputs()[0].shape[1:]), np.float32)
num_classes = session.get_modelmeta().custom_metadata_map.get('num_classes')  # None if the model has no classes
labels = {} if num_classes is None else dict(labels=np.arange(100) % int(num_classes))
(images,) = session.run(None, dict(noise=noise, **labels))  # (100, C, H, W) in [-1, 1]
tiles = np.pad(((images + 1) * 127.5).round().astype(np.uint8), [(0, 0), (0, 0), (1, 1), (1, 1)])
_, channels, height, width = tiles.shape
rows = tiles.reshape(10, 10, channels, height, width).transpose(0, 3, 1, 4, 2)  # (row, y, column, x, channel)
grid = Image.fromarray(rows.reshape(10 * height, 10 * width, channels).squeeze())
grid.resize([max(1, 64 // width) * side for side in grid.size], Image.Resampling.NEAREST).save(sys.argv[2])
