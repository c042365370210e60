"""Images of your own: train with arrays, hold out a part of them, predict one image."""

import byhand
import numpy as np
from byhand import data, models, optim

# Any uint8 array of shape (N, height, width) or (N, channels, height, width) will do. Here each
# image shows a bright bar, which is level or upright.
rng = np.random.default_rng(0)
labels = rng.integers(0, 2, 2000, dtype=np.uint8)
images = rng.integers(0, 60, (2000, 16, 16), dtype=np.uint8)
for image, label, place in zip(images, labels, rng.integers(1, 14, 2000), strict=True):
    bar = image if label == 0 else image.T
    bar[place : place + 2] = 255

everything = data.Dataset(images, labels, class_names=("level", "upright"))
train, validation = everything.hold_out(0.2)

model = models.mlp((16,), input_shape=(1, 16, 16), classes=2)
model.class_names = everything.class_names
optimizer = optim.Adam(model.parameters(), lr=0.003)
byhand.Trainer(model, optimizer).fit(train, epochs=10, validation=validation)
print(f"validation accuracy {byhand.evaluate(model, validation).accuracy:.2%}")
for name, probability in model.predict_top(validation.images[:1], 2)[0]:
    print(f"{name:>8}  {probability:.2%}")
